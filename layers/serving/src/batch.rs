//! A batch: row changes folded to the last one of each key, and how far in the log they reach. Pure.
//!
//! The result depends on the versions alone, not on the order of arrival: changes of one row of the store may come through two
//! partitions (its owner changed), so the older may come second.

use crate::tables::{Order, TABLES, Table};
use crate::value::Value;
use bus::TopicPartition;
use std::collections::{BTreeMap, HashMap};

/// The values of a row, in the table's order of columns.
pub type Row = Vec<Value>;

/// What orders the changes of a row: `(lsn, seq)` of the store, or `(partition, offset)`.
pub type Version = (i64, i64);

/// One change, from one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOp {
    /// Number of the table in [`TABLES`].
    pub table: usize,
    /// The key.
    pub key: Vec<Value>,
    /// The version.
    pub version: Version,
    /// What to do.
    pub change: RowChange,
}

/// What a record does to the rows of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// These rows are the key's rows now. None means gone.
    Put {
        /// The rows.
        rows: Vec<Row>,
        /// Whether the store had no such row before.
        created: bool,
    },
    /// The table was emptied: what is older is gone.
    Truncate,
}

/// The last state of one key in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The key.
    pub key: Vec<Value>,
    /// The version of the last change.
    pub version: Version,
    /// The rows; none means gone.
    pub rows: Vec<Row>,
    /// Version at which the store created the row, if that was in this batch and nothing of it was there before.
    pub created: Option<Version>,
}

/// The changes of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableBatch {
    /// Last state by key.
    pub keys: Vec<KeyState>,
    /// Everything older than this is gone.
    pub truncated: Option<Version>,
    places: HashMap<Vec<u8>, usize>,
}

impl TableBatch {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.truncated.is_none()
    }

    fn put(&mut self, table: &Table, op: RowOp) {
        let RowChange::Put { rows, created } = op.change else {
            self.truncate(op.version);
            return;
        };
        if self.truncated.is_some_and(|floor| op.version < floor) {
            return;
        }
        let created = created.then_some(op.version);
        let new = KeyState { key: op.key, version: op.version, rows, created };
        if table.order == Order::Append {
            self.keys.push(new);
            return;
        }
        let identity = identity_of(table, &new.key, new.version);
        match self.places.get(&identity).and_then(|place| self.keys.get_mut(*place)) {
            Some(state) if state.version < new.version => {
                let older = std::mem::replace(state, new);
                succeed(state, &older);
            }
            Some(newer) => succeed(newer, &new),
            None => {
                self.places.insert(identity, self.keys.len());
                self.keys.push(new);
            }
        }
    }

    fn truncate(&mut self, at: Version) {
        if self.truncated.is_some_and(|floor| floor >= at) {
            return;
        }
        self.truncated = Some(at);
        self.keys.retain(|state| state.version >= at);
        self.places.clear();
        // Only tables of the store are ever emptied; their identity is the key alone.
        for (place, state) in self.keys.iter().enumerate() {
            self.places.insert(key_bytes(&state.key), place);
        }
    }
}

/// Hands on to a state what an older one of the same key knew.
fn succeed(newer: &mut KeyState, older: &KeyState) {
    // Where the older change is no creation, a row of before may stand in the table.
    newer.created = older.created;
    let Some(old) = older.rows.first() else { return };
    for row in &mut newer.rows {
        for (value, old) in row.iter_mut().zip(old) {
            if *value == Value::Unchanged {
                value.clone_from(old);
            }
        }
    }
}

/// Bytes that stand for a key in its table.
#[must_use]
pub fn key_bytes(key: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    for value in key {
        value.key_into(&mut bytes);
    }
    bytes
}

/// Bytes that stand for what a record replaces: the key, and for streams the partition that owns it.
fn identity_of(table: &Table, key: &[Value], version: Version) -> Vec<u8> {
    let mut bytes = key_bytes(key);
    if table.order == Order::Stream {
        bytes.extend_from_slice(&version.0.to_be_bytes());
    }
    bytes
}

/// Row changes of many tables, and the positions that they reach.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    tables: BTreeMap<usize, TableBatch>,
    progress: BTreeMap<TopicPartition, i64>,
    received: Vec<i64>,
    records: usize,
}

impl Batch {
    /// A batch without rows that only tells a number of records.
    pub(crate) fn counted(records: usize) -> Self {
        Self { records, ..Self::default() }
    }

    /// Adds a change.
    pub fn push(&mut self, op: RowOp) {
        if let Some(table) = TABLES.get(op.table) {
            self.tables.entry(op.table).or_default().put(table, op);
        }
    }

    /// Says that everything of a partition below `next` is in this batch or before it.
    pub fn reach(&mut self, at: &TopicPartition, next: i64) {
        match self.progress.get_mut(at) {
            Some(position) => *position = next.max(*position),
            None => {
                self.progress.insert(at.clone(), next);
            }
        }
    }

    /// Counts a record, and when its signal was received (microseconds since 1970 UTC) if it carries one.
    pub fn count(&mut self, received_at: Option<i64>) {
        self.records += 1;
        self.received.extend(received_at);
    }

    /// The changes by number of table.
    #[must_use]
    pub const fn tables(&self) -> &BTreeMap<usize, TableBatch> {
        &self.tables
    }

    /// Next offsets by partition.
    #[must_use]
    pub const fn progress(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.progress
    }

    /// When the signals in it were received.
    #[must_use]
    pub fn received(&self) -> &[i64] {
        &self.received
    }

    /// Records read.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Whether it changes no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(TableBatch::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::number;

    fn op(version: i64, rows: Vec<Row>, created: bool) -> RowOp {
        let table = number("stores").unwrap();
        RowOp { table, key: vec![Value::Uuid(1)], version: (version, 0), change: RowChange::Put { rows, created } }
    }

    fn row(name: &str) -> Row {
        vec![Value::Uuid(1), Value::text("code"), Value::text(name)]
    }

    fn fold(ops: &[&RowOp]) -> TableBatch {
        let mut batch = Batch::default();
        for op in ops {
            batch.push((*op).clone());
        }
        batch.tables().values().next().cloned().unwrap_or_default()
    }

    #[test]
    fn the_later_version_wins_in_any_order() {
        let (a, b) = (op(1, vec![row("a")], true), op(2, vec![row("b")], false));
        for ops in [[&a, &b], [&b, &a]] {
            let folded = fold(&ops);
            assert_eq!(folded.keys.len(), 1);
            assert_eq!(folded.keys[0].rows, [row("b")]);
            assert_eq!(folded.keys[0].created, Some((1, 0)));
        }
    }

    #[test]
    fn what_was_gone_before_is_not_taken_as_new() {
        let (gone, again) = (op(1, vec![], false), op(2, vec![row("b")], true));
        for ops in [[&gone, &again], [&again, &gone]] {
            assert_eq!(fold(&ops).keys[0].created, None);
        }
    }

    #[test]
    fn unchanged_columns_keep_what_the_older_change_had() {
        let mut part = row("b");
        part[1] = Value::Unchanged;
        let (old, new) = (op(1, vec![row("a")], true), op(2, vec![part], false));
        for ops in [[&old, &new], [&new, &old]] {
            assert_eq!(fold(&ops).keys[0].rows, [row("b")]);
        }
    }

    #[test]
    fn truncation_takes_what_is_older_only() {
        let truncate = RowOp { change: RowChange::Truncate, ..op(2, vec![], false) };
        let (old, new) = (op(1, vec![row("a")], true), op(3, vec![row("b")], true));
        for ops in [[&old, &truncate, &new], [&new, &truncate, &old], [&truncate, &new, &old]] {
            let folded = fold(&ops);
            assert_eq!(folded.truncated, Some((2, 0)));
            assert_eq!(folded.keys.len(), 1);
            assert_eq!(folded.keys[0].rows, [row("b")]);
        }
    }
}
