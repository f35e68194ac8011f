//! Change records: Debezium's envelope, written straight from PostgreSQL's text values. Reads back as `model::Change`.

use crate::pgoutput::{Cell, Old};
use crate::table::Table;
use crate::value;
use bus::NewRecord;
use bytes::Bytes;
use model::Op;

/// Values beyond this are left out of a record that would be too large for the bus.
const OVERSIZE_CELL: usize = 32 * 1024;

/// Where and when a change happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) lsn: u64,
    pub(crate) seq: u64,
    pub(crate) tx: u32,
    /// Time of commit, microseconds since 1970 UTC.
    pub(crate) committed_us: i64,
    pub(crate) snapshot: bool,
    /// Time of decoding, microseconds since 1970 UTC.
    pub(crate) now_us: i64,
}

/// A row before and after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images<'a> {
    pub(crate) before: Option<&'a Old<'a>>,
    pub(crate) after: Option<&'a [Cell<'a>]>,
}

impl<'a> Old<'a> {
    fn cells(&self) -> &[Cell<'a>] {
        match self {
            Self::Key(cells) | Self::Row(cells) => cells,
        }
    }
}

/// The record of a change, and whether large values had to be left out of it.
pub(crate) fn record(table: &Table, op: Op, images: Images<'_>, stamp: &Stamp, size_hint: usize) -> (NewRecord, bool) {
    let mut value = Vec::with_capacity(size_hint);
    write(&mut value, table, op, images, stamp, usize::MAX);
    let oversize = value.len() > bus::limits::MAX_RECORD_BYTES - 4096;
    if oversize {
        value.clear();
        write(&mut value, table, op, Images { before: None, ..images }, stamp, OVERSIZE_CELL);
    }
    let record = NewRecord {
        topic: table.topic.clone(),
        key: key(table, images),
        value: Some(Bytes::from(value)),
        timestamp_ms: stamp.committed_us / 1000,
        ..NewRecord::default()
    };
    (record, oversize)
}

/// `m:<member>` where the row belongs to a member, so that all of a member's changes keep their order; else the primary key.
fn key(table: &Table, images: Images<'_>) -> Option<Bytes> {
    let before = images.before.map(Old::cells);
    let cell = |place: usize| {
        let of = |cells: Option<&[Cell<'_>]>| match cells.and_then(|cells| cells.get(place)) {
            Some(Cell::Text(text)) => Some(text.to_vec()),
            _ => None,
        };
        of(images.after).or_else(|| of(before))
    };
    if let Some(member) = table.member.and_then(cell) {
        return Some(Bytes::from([b"m:".as_slice(), &member].concat()));
    }
    let parts: Vec<Vec<u8>> = table.primary.iter().filter_map(|place| cell(*place)).collect();
    (!parts.is_empty()).then(|| Bytes::from(parts.join(&b'/')))
}

fn write(out: &mut Vec<u8>, table: &Table, op: Op, images: Images<'_>, stamp: &Stamp, cell_max: usize) {
    let mut unchanged = Vec::new();
    out.extend_from_slice(b"{\"before\":");
    match images.before {
        Some(old) => row(out, table, old.cells(), None, matches!(old, Old::Key(_)), cell_max, &mut Vec::new()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"after\":");
    match images.after {
        Some(cells) => {
            let old = match images.before {
                Some(Old::Row(old)) => Some(old.as_slice()),
                _ => None,
            };
            row(out, table, cells, old, false, cell_max, &mut unchanged);
        }
        None => out.extend_from_slice(b"null"),
    }
    if !unchanged.is_empty() {
        out.extend_from_slice(b",\"unchanged\":[");
        for (i, column) in unchanged.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            value::string(out, &table.columns[column].name);
        }
        out.push(b']');
    }
    source(out, table, op, stamp);
}

/// Writes a row image. A value that was not sent is taken from the whole old row where there is one, else its column is named
/// in `unchanged` and left out: absent is not null.
fn row(
    out: &mut Vec<u8>,
    table: &Table,
    cells: &[Cell<'_>],
    old: Option<&[Cell<'_>]>,
    only_key: bool,
    cell_max: usize,
    unchanged: &mut Vec<usize>,
) {
    out.push(b'{');
    let mut first = true;
    for (place, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        if only_key && !column.key {
            continue;
        }
        let cell = match (cell, old.and_then(|old| old.get(place))) {
            (Cell::Unchanged, Some(known)) => known,
            _ => cell,
        };
        let text = match cell {
            Cell::Null => None,
            Cell::Text(text) if text.len() <= cell_max => Some(text),
            Cell::Text(_) | Cell::Unchanged => {
                unchanged.push(place);
                continue;
            }
        };
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        out.extend_from_slice(&column.label);
        match text {
            Some(text) => value::write(out, column.type_oid, text),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn source(out: &mut Vec<u8>, table: &Table, op: Op, stamp: &Stamp) {
    let code = match op {
        Op::Create => b"c",
        Op::Update => b"u",
        Op::Delete => b"d",
        Op::Read => b"r",
        Op::Truncate => b"t",
    };
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(code);
    out.extend_from_slice(b"\",\"source\":");
    out.extend_from_slice(&table.source);
    let mut field = |label: &[u8], number: serde_json::Number| {
        out.extend_from_slice(label);
        value::number(out, number);
    };
    field(b",\"lsn\":", stamp.lsn.into());
    field(b",\"seq\":", stamp.seq.into());
    field(b",\"tx\":", stamp.tx.into());
    field(b",\"ts_us\":", stamp.committed_us.into());
    out.extend_from_slice(if stamp.snapshot { b",\"snapshot\":true}" } else { b",\"snapshot\":false}" });
    out.extend_from_slice(b",\"ts_us\":");
    value::number(out, stamp.now_us);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Column;
    use model::Change;
    use model::change::Source;
    use serde_json::json;

    const STAMP: Stamp =
        Stamp { lsn: 7, seq: 1, tx: 9, committed_us: 1_700_000_000_123_456, snapshot: false, now_us: 42 };

    fn table() -> Table {
        let columns =
            vec![Column::new("id", 23, true), Column::new("member_id", 2950, false), Column::new("q\"uote", 25, false)];
        Table::new("db", "crm", "thing", columns, &["id".to_owned()])
    }

    fn change(op: Op, images: Images<'_>) -> (NewRecord, Change) {
        let (record, _) = record(&table(), op, images, &STAMP, 0);
        let change = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        (record, change)
    }

    #[test]
    fn reads_back_as_a_change() {
        let cells = [Cell::Text(b"1"), Cell::Text(b"00"), Cell::Unchanged];
        let (record, change) = change(Op::Update, Images { before: None, after: Some(&cells) });
        assert_eq!((record.topic.as_str(), record.key.as_deref()), ("crm.thing", Some(b"m:00".as_slice())));
        assert_eq!(record.timestamp_ms, 1_700_000_000_123);
        let text = str::to_owned;
        let source = Source {
            db: text("db"),
            schema: text("crm"),
            table: text("thing"),
            lsn: 7,
            seq: 1,
            tx: 9,
            ts_us: STAMP.committed_us,
            snapshot: false,
        };
        let after = json!({"id": 1, "member_id": "00"}).as_object().cloned();
        let unchanged = vec![text("q\"uote")];
        assert_eq!(change, Change { before: None, after, unchanged, op: Op::Update, source, ts_us: 42 });
    }

    #[test]
    fn a_whole_old_row_fills_what_was_not_sent() {
        let old = Old::Row(vec![Cell::Text(b"1"), Cell::Text(b"aa"), Cell::Text(b"long")]);
        let cells = [Cell::Text(b"1"), Cell::Null, Cell::Unchanged];
        let (record, change) = change(Op::Update, Images { before: Some(&old), after: Some(&cells) });
        assert_eq!(change.after.unwrap()["q\"uote"], json!("long"));
        assert!(change.unchanged.is_empty());
        assert_eq!(record.key.as_deref(), Some(b"m:aa".as_slice()), "the owner before, since there is none after");
    }

    #[test]
    fn a_deleted_key_has_only_key_columns() {
        let old = Old::Key(vec![Cell::Text(b"5"), Cell::Null, Cell::Null]);
        let (record, change) = change(Op::Delete, Images { before: Some(&old), after: None });
        assert_eq!(serde_json::to_value(change.before).unwrap(), json!({"id": 5}));
        assert_eq!((record.key.as_deref(), change.after), (Some(b"5".as_slice()), None));
    }

    #[test]
    fn what_is_too_large_for_the_bus_is_left_out_and_named() {
        let long = vec![b'x'; bus::limits::MAX_RECORD_BYTES];
        let cells = [Cell::Text(b"5"), Cell::Null, Cell::Text(&long)];
        let (record, oversize) = record(&table(), Op::Create, Images { before: None, after: Some(&cells) }, &STAMP, 0);
        let change: Change = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        assert!(oversize);
        assert_eq!(change.unchanged, ["q\"uote"]);
    }
}
