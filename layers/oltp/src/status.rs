//! What an operator asks of the store first: is it well, who waits for whom, what grows.

use crate::error::OltpError;
use crate::migrate::SchemaState;
use crate::pool::{Oltp, PoolStatus};
use crate::slow::SlowStatement;
use crate::statement;
use model::{Position, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Json;

/// A transaction that is open longer holds back vacuum, and is told of, in seconds.
const LONG: i64 = 300;
/// A part of the distance to a forced vacuum at which the age of transaction ids is told of.
const AGE_TOLD: f64 = 1.5;

/// The store as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// How far the schema is.
    pub schema: SchemaState,
    /// End of the log on disk, as a position token.
    pub position: String,
    /// The server.
    pub server: Server,
    /// Connections of the process that answers.
    pub pool: PoolStatus,
    /// Limits that its sessions work under.
    pub limits: Limits,
    /// Size of the server's log, in bytes; none where the role may not look.
    pub wal_bytes: Option<i64>,
    /// The position up to which the log is archived; none where it is not.
    pub archived_to: Option<String>,
    /// The last slow statements of the process that answers, the newest first.
    pub slow: Vec<SlowStatement>,
    /// What needs a hand, in words. Empty when all is well.
    pub findings: Vec<String>,
}

/// Limits of a session, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest statement.
    pub statement_ms: u64,
    /// Longest wait for a lock.
    pub lock_ms: u64,
    /// Longest silence in a transaction.
    pub idle_in_transaction_ms: u64,
    /// Longest transaction, from version 17 on.
    pub transaction_ms: u64,
    /// Longest wait for a connection.
    pub pool_wait_ms: u64,
    /// From when on a statement is slow.
    pub slow_ms: u64,
}

/// What the server says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// The major part of it.
    pub major: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Name of our database.
    pub database: String,
    /// Size of our database, in bytes.
    pub database_bytes: i64,
    /// Age of its oldest transaction id that is not frozen.
    pub frozen_xid_age: i64,
    /// The age at which vacuum is forced.
    pub frozen_xid_age_max: i64,
    /// Size of a piece of the log, in bytes.
    pub wal_segment_bytes: u64,
    /// All connections of the server.
    pub connections: Connections,
    /// Transactions that are open for more than five seconds, the longest first.
    pub long_transactions: Vec<LongTransaction>,
    /// Who waits for a lock.
    pub lock_waits: Vec<LockWait>,
    /// Slots that read the log.
    pub replication_slots: Vec<Slot>,
    /// The largest tables.
    pub tables: Vec<Table>,
    /// Indexes that cost writes and serve nobody: what a build that was cut short leaves behind.
    pub invalid_indexes: Vec<String>,
    /// Archive of the log.
    pub archive: ArchiveStatus,
}

/// Connections of the server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// Most at a time.
    pub max: i64,
    /// All.
    pub total: i64,
    /// Those that run a statement.
    pub active: i64,
    /// Those that sit in a transaction.
    pub idle_in_transaction: i64,
}

/// A transaction that is open for long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LongTransaction {
    /// The server's process.
    pub pid: i32,
    /// Who it is, in its own words.
    pub application: String,
    /// What it is doing.
    pub state: String,
    /// What kind of thing it waits for, if it does.
    pub waits_for: Option<String>,
    /// For how long it is open.
    pub seconds: i64,
}

/// A session that waits for a lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockWait {
    /// The server's process.
    pub pid: i32,
    /// Who it is, in its own words.
    pub application: String,
    /// The table, or the kind of lock.
    pub waits_for: String,
    /// The lock that it wants.
    pub mode: String,
    /// For how long.
    pub seconds: i64,
    /// The processes that hold it, or stand before it.
    pub blocked_by: Vec<i32>,
}

/// A replication slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` (about to be lost) or `lost`.
    pub wal_status: String,
    /// Log that is kept for it, in bytes.
    pub retained_bytes: Option<i64>,
    /// Log that its reader has not confirmed, in bytes.
    pub unconfirmed_bytes: Option<i64>,
    /// Log that may still be written before it is lost, in bytes; none without such a limit.
    pub safe_bytes: Option<i64>,
}

/// A table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Schema and name.
    pub table: String,
    /// All of it, in bytes; none while somebody has locked it for himself.
    pub bytes: Option<i64>,
    /// Its indexes, in bytes.
    pub index_bytes: Option<i64>,
    /// Rows, estimated.
    pub rows: i64,
    /// When it was last vacuumed by the server itself.
    pub last_autovacuum: Option<Timestamp>,
    /// When it was last analysed by the server itself.
    pub last_autoanalyze: Option<Timestamp>,
}

/// Archive of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArchiveStatus {
    /// `on`, `off` or `always`.
    pub mode: String,
    /// Pieces archived.
    pub archived: i64,
    /// The last one.
    pub last_archived: Option<String>,
    /// When.
    pub last_archived_at: Option<Timestamp>,
    /// Failures.
    pub failed: i64,
    /// The piece that failed last.
    pub last_failed: Option<String>,
    /// When.
    pub last_failed_at: Option<Timestamp>,
}

impl Oltp {
    /// Looks at the store. Works on any schema, also an older one or none.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer; as [`Oltp::schema`].
    pub async fn status(&self) -> Result<Status, OltpError> {
        let schema = self.schema().await?;
        let server: Server = self.document(statement::STORE_STATUS).await?.ok_or_else(no_answer)?;
        // An external server may not let the role look.
        let wal_bytes = self.log_bytes().await;
        let Position::Wal(end) = self.position().await? else { return Err(no_answer()) };
        let archived_to = archived_to(&server);
        let (pool, slow, limits) = (self.pool(), self.inner.slow.last(), self.limits());
        let position = Position::Wal(end).to_string();
        let findings = findings(&schema, &server, pool);
        Ok(Status { schema, position, server, pool, limits, wal_bytes, archived_to, slow, findings })
    }

    fn limits(&self) -> Limits {
        let config = &self.inner.config;
        Limits {
            statement_ms: config.statement_timeout_ms,
            lock_ms: config.lock_timeout_ms,
            idle_in_transaction_ms: config.idle_in_transaction_timeout_ms,
            transaction_ms: config.transaction_timeout_ms,
            pool_wait_ms: config.pool_wait_ms,
            slow_ms: config.slow_ms,
        }
    }

    async fn log_bytes(&self) -> Option<i64> {
        let client = self.client().await.ok()?;
        client.query_one(statement::STORE_WAL_BYTES, &[]).await.ok()?.get(0)
    }

    /// The answer of a statement that gives one JSON document.
    pub(crate) async fn document<T: DeserializeOwned>(&self, sql: &'static str) -> Result<Option<T>, OltpError> {
        let rows = self.query(sql, &[]).await?;
        let row = rows.first().ok_or_else(no_answer)?;
        let document = row.try_get::<_, Option<Json<T>>>(0);
        document.map(|found| found.map(|json| json.0)).map_err(|error| OltpError::Internal(error.to_string()))
    }
}

fn no_answer() -> OltpError {
    OltpError::Internal("the store gave half an answer".to_owned())
}

/// End of the last piece that was archived: the name of a piece is its timeline and its number, in hex.
fn archived_to(server: &Server) -> Option<String> {
    let name = server.archive.last_archived.as_deref()?.get(..24)?;
    let high = u64::from_str_radix(&name[8..16], 16).ok()?;
    let low = u64::from_str_radix(&name[16..24], 16).ok()?;
    let end = (high << 32).checked_add((low + 1).checked_mul(server.wal_segment_bytes)?)?;
    (server.archive.mode != "off").then(|| Position::Wal(end).to_string())
}

/// What needs a hand.
fn findings(schema: &SchemaState, server: &Server, pool: PoolStatus) -> Vec<String> {
    let mut found = Vec::new();
    if !schema.pending.is_empty() {
        found.push(format!("{} migrations are pending: `storewide oltp migrate`", schema.pending.len()));
    }
    for index in &server.invalid_indexes {
        found.push(format!("index {index} is invalid: `drop index concurrently {index}`, then build it again"));
    }
    for slot in &server.replication_slots {
        match slot.wal_status.as_str() {
            "lost" => {
                found.push(format!("replication slot {} has lost its log: its reader takes a new snapshot", slot.name));
            }
            "unreserved" => {
                found.push(format!("replication slot {} is about to lose its log: let its reader catch up", slot.name));
            }
            _ => {}
        }
    }
    let open = server.long_transactions.iter().filter(|open| open.seconds > LONG);
    found.extend(open.map(|open| {
        format!(
            "process {} ({}) has a transaction open for {} s, which holds back vacuum: `select pg_terminate_backend({})`",
            open.pid, open.application, open.seconds, open.pid
        )
    }));
    let archive = &server.archive;
    if archive.mode != "off" && archive.last_failed_at > archive.last_archived_at {
        found.push("the log cannot be archived, so it fills the disk: see PostgreSQL's log".to_owned());
    }
    if server.frozen_xid_age as f64 > server.frozen_xid_age_max as f64 * AGE_TOLD {
        found.push(format!(
            "transaction ids are {} old and vacuum does not come behind: `storewide oltp vacuum-report`",
            server.frozen_xid_age
        ));
    }
    if server.connections.total * 10 > server.connections.max * 9 {
        found.push(format!("{} of {} connections are taken", server.connections.total, server.connections.max));
    }
    if pool.waiting > 0 && pool.idle == 0 {
        found.push(format!(
            "{} commands wait for one of {} connections: raise `oltp.pool_size`",
            pool.waiting, pool.max
        ));
    }
    found
}
