//! The `[access]` section of the configuration.

use serde::{Deserialize, Serialize};

/// The limits of the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest body of a single write, in bytes.
    pub body_bytes_max: usize,
    /// Longest time for a body to arrive, in milliseconds.
    pub body_ms_max: u64,
    /// Most requests at a time; what comes on top is refused with 503 at once.
    pub requests_max: usize,
    /// Most batches at a time.
    pub batches_max: usize,
    /// Longest line of a batch, in bytes.
    pub line_bytes_max: usize,
    /// Most lines of a batch in one transaction.
    pub chunk_lines_max: usize,
    /// Most bytes of a batch in one transaction, within one line.
    pub chunk_bytes_max: usize,
    /// Longest silence of a batch's sender, in milliseconds.
    pub batch_idle_ms_max: u64,
    /// Requests, and lines of batches, that a key may send in a second in the long run, where it has no limit of its own. Each process
    /// counts by itself.
    pub requests_per_s: u32,
    /// Requests that a key may send at once after a rest, where it has no limit of its own.
    pub burst: u32,
    /// The raw inbox and its router.
    pub inbox: InboxConfig,
    /// Imports.
    pub imports: ImportsConfig,
}

/// `[access.inbox]`: what sources deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// Largest delivery, in bytes.
    pub body_bytes_max: usize,
    /// Most deliveries at a time that are being taken in; what comes on top is refused with 503 at once.
    pub deliveries_max: usize,
    /// Most deliveries that the router leases at a time.
    pub leased_max: u32,
    /// How long a lease lasts, in seconds: what a router that died had leased is run again after it.
    pub lease_s: u64,
    /// How long a delivery is tried again after a fault that may cure itself, in hours; a contract may say otherwise.
    pub retry_hours: u32,
    /// First wait before it is tried again, in milliseconds; the waits double.
    pub wait_first_ms: u64,
    /// Longest wait, in milliseconds.
    pub wait_most_ms: u64,
    /// Most steps of one program.
    pub program_steps_max: u64,
    /// Longest time of one program, in milliseconds.
    pub program_ms_max: u64,
    /// Most commands of one delivery.
    pub commands_max: usize,
    /// Most lists and objects within each other in a delivery.
    pub depth_max: usize,
    /// How many days payloads are kept once they are done.
    pub payload_days: u16,
    /// How many days the receipt of a delivery is kept once it is done: a repeat after that is taken for a new one.
    pub receipt_days: u16,
}

/// `[access.imports]`: many lines taken at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportsConfig {
    /// Largest import, in bytes. It must arrive within the minute that a request may take.
    pub bytes_max: u64,
    /// Most lines of an import.
    pub lines_max: u64,
    /// Most imports that are being received at a time.
    pub receiving_max: usize,
    /// How long a lease on an import lasts, in seconds: what a worker that died had begun is run again after it.
    pub lease_s: u64,
    /// How many days an import and its failures are kept once it is over.
    pub keep_days: u16,
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            deliveries_max: 64,
            leased_max: 64,
            lease_s: 30,
            retry_hours: 72,
            wait_first_ms: 5_000,
            wait_most_ms: 3_600_000,
            program_steps_max: 1_000_000,
            program_ms_max: 2_000,
            commands_max: 10_000,
            depth_max: 64,
            payload_days: 30,
            receipt_days: 180,
        }
    }
}

impl Default for ImportsConfig {
    fn default() -> Self {
        Self { bytes_max: 256 << 20, lines_max: 2_000_000, receiving_max: 4, lease_s: 30, keep_days: 30 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 << 20,
            body_ms_max: 30_000,
            requests_max: 128,
            batches_max: 16,
            line_bytes_max: 1 << 20,
            chunk_lines_max: 500,
            chunk_bytes_max: 2 << 20,
            batch_idle_ms_max: 60_000,
            // Against a caller that runs wild, not to hold back an import: give a till's key a limit of its own.
            requests_per_s: 50_000,
            burst: 100_000,
            inbox: InboxConfig::default(),
            imports: ImportsConfig::default(),
        }
    }
}
