//! The `[oltp]` section of the configuration.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How the store is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most connections at a time.
    pub pool_size: usize,
    /// Longest time that a command waits for a free connection, in milliseconds.
    pub pool_wait_ms: u64,
    /// Longest time that one statement may run, in milliseconds.
    pub statement_timeout_ms: u64,
    /// Longest time that a statement waits for a lock, in milliseconds.
    pub lock_timeout_ms: u64,
    /// Longest time that a session sits in an open transaction and sends nothing, in milliseconds; then the server ends the session.
    pub idle_in_transaction_timeout_ms: u64,
    /// Longest time of a whole transaction, in milliseconds; only servers from version 17 on can watch it.
    pub transaction_timeout_ms: u64,
    /// A statement that takes longer is logged and counted as slow, in milliseconds.
    pub slow_ms: u64,
    /// Longest time that a migration stands in the queue for a lock, in milliseconds; then it lets the others through and tries again.
    pub migration_lock_ms: u64,
    /// Folder in which the private cluster's log is kept for restores; not kept where none is given.
    pub archive_dir: Option<PathBuf>,
    /// A piece of the log is kept at the latest after so many seconds, full or not.
    pub archive_timeout_s: u32,
    /// How often a command is tried again while the database restarts or refuses; the waits grow from 50 ms to 2 s.
    pub retries_max: u32,
    /// Most commands in one transaction of a batch.
    pub batch_commands_max: usize,
    /// Most order lines in one transaction of a batch.
    pub batch_lines_max: usize,
    /// How many transactions of single commands are begun at a time; commands that come meanwhile wait, and go together. By default as
    /// many as this machine has cores, from 2 to 8; for a server with more cores of its own, as many as those.
    pub gather_transactions: usize,
    /// How many days the answer to an idempotency key is kept at least; older ones go as commands with new keys come.
    pub idempotency_days: u16,
    /// For how many months after this one the ledgers' partitions are there already.
    pub partitions_ahead: u8,
    /// How many whole months the ledgers are kept, those of points and stock excepted, which balances are sums of; for ever when
    /// absent. At least 1.
    pub keep_months: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool_size: 16,
            pool_wait_ms: 10_000,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 10_000,
            idle_in_transaction_timeout_ms: 60_000,
            transaction_timeout_ms: 120_000,
            slow_ms: 1_000,
            migration_lock_ms: 1_000,
            archive_dir: None,
            archive_timeout_s: 60,
            // 50 ms doubling to 2 s: about 8 s in all, longer than a crashed server needs to recover.
            retries_max: 9,
            batch_commands_max: 500,
            batch_lines_max: 10_000,
            gather_transactions: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8),
            idempotency_days: 7,
            partitions_ahead: 2,
            keep_months: None,
        }
    }
}
