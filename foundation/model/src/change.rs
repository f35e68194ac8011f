//! Change records: what capture puts on the bus for every committed row change, in Debezium's envelope.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A row image: column name to JSON value. Numerics and times are text, so nothing is lost on the way.
pub type Row = Map<String, Value>;

/// What happened to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Inserted.
    #[serde(rename = "c")]
    Create,
    /// Updated.
    #[serde(rename = "u")]
    Update,
    /// Deleted.
    #[serde(rename = "d")]
    Delete,
    /// Read by the first snapshot.
    #[serde(rename = "r")]
    Read,
    /// The whole table was truncated.
    #[serde(rename = "t")]
    Truncate,
}

/// Where a change comes from. `(lsn, seq)` orders all changes and identifies each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The database.
    pub db: String,
    /// The schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Start of the transaction's commit record in the log; for a snapshot row, the last position before the slot's first change, so
    /// that every streamed change is newer. Not a position to wait for: `capture.progress` says how far the bus is.
    pub lsn: u64,
    /// Place of the change in its transaction, from 0.
    pub seq: u64,
    /// The transaction, 0 for snapshot rows.
    pub tx: u32,
    /// Time of commit, microseconds since 1970 UTC.
    pub ts_us: i64,
    /// Whether the snapshot read it.
    pub snapshot: bool,
}

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The row before: all of it under `REPLICA IDENTITY FULL`, else the key, or nothing.
    pub before: Option<Row>,
    /// The row after; nothing for deletes and truncates.
    pub after: Option<Row>,
    /// Large columns that did not change and that PostgreSQL therefore did not send. They are absent from `after`, never null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<String>,
    /// Columns whose new value is too large for a record of the bus: it did change, and is not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// What happened.
    pub op: Op,
    /// Where it comes from.
    pub source: Source,
    /// When capture decoded it, microseconds since 1970 UTC.
    pub ts_us: i64,
}

impl Change {
    /// The version that orders changes of one row: the later one is the truth.
    #[must_use]
    pub const fn version(&self) -> (u64, u64) {
        (self.source.lsn, self.source.seq)
    }
}
