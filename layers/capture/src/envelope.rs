//! Change records: Debezium's envelope, written straight from PostgreSQL's text values. Reads back as `model::Change`.

use crate::pgoutput::{Cell, Old};
use crate::table::Table;
use crate::value;
use bus::NewRecord;
use bytes::Bytes;
use model::Op;

/// Values beyond this are left out of a record that would be too large for the bus; where that is not enough, beyond an eighth of
/// it, and so on.
const OVERSIZE_CELL: usize = 32 * 1024;

/// Room in a record for its key and whatever the bus adds.
const ROOM: usize = 4096;

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
    let too_large = |value: &[u8]| value.len() > bus::limits::MAX_RECORD_BYTES - ROOM;
    let oversize = too_large(&value);
    let mut cell_max = OVERSIZE_CELL;
    while too_large(&value) && cell_max > 0 {
        value.clear();
        write(&mut value, table, op, images, stamp, cell_max);
        cell_max /= 8;
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

/// Columns that a row image does not have.
#[derive(Default)]
struct Absent {
    /// They did not change, and PostgreSQL did not send them.
    unchanged: Vec<usize>,
    /// They are too large.
    omitted: Vec<usize>,
}

fn write(out: &mut Vec<u8>, table: &Table, op: Op, images: Images<'_>, stamp: &Stamp, cell_max: usize) {
    let mut absent = Absent::default();
    out.extend_from_slice(b"{\"before\":");
    match images.before {
        Some(old) => {
            let only_key = matches!(old, Old::Key(_));
            // Where there is a row after, the one before is the first that can be done without.
            let cell_max = if cell_max < usize::MAX && images.after.is_some() { 0 } else { cell_max };
            let before = row(out, table, old.cells(), None, only_key, cell_max);
            if images.after.is_none() {
                absent.omitted = before.omitted;
            }
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"after\":");
    match images.after {
        Some(cells) => {
            let old = match images.before {
                Some(Old::Row(old)) => Some(old.as_slice()),
                _ => None,
            };
            absent = row(out, table, cells, old, false, cell_max);
        }
        None => out.extend_from_slice(b"null"),
    }
    names(out, table, b",\"unchanged\":[", &absent.unchanged);
    names(out, table, b",\"omitted\":[", &absent.omitted);
    source(out, table, op, stamp);
}

/// Writes a list of columns, if there are any.
fn names(out: &mut Vec<u8>, table: &Table, label: &[u8], places: &[usize]) {
    for (i, place) in places.iter().enumerate() {
        out.extend_from_slice(if i == 0 { label } else { b"," });
        value::string(out, &table.columns[*place].name);
    }
    if !places.is_empty() {
        out.push(b']');
    }
}

/// Writes a row image, and returns what it does not have: absent is not null. A value that was not sent is taken from the whole
/// old row where there is one. Values of the primary key are never too large.
fn row(
    out: &mut Vec<u8>,
    table: &Table,
    cells: &[Cell<'_>],
    old: Option<&[Cell<'_>]>,
    only_key: bool,
    cell_max: usize,
) -> Absent {
    let mut absent = Absent::default();
    out.push(b'{');
    let mut first = true;
    for (place, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        if only_key && !column.key {
            continue;
        }
        let known = old.and_then(|old| old.get(place));
        let text = match (cell, known) {
            (Cell::Null, _) | (Cell::Unchanged, Some(Cell::Null)) => None,
            (Cell::Text(text), _) | (Cell::Unchanged, Some(Cell::Text(text)))
                if text.len() <= cell_max || table.primary.contains(&place) =>
            {
                Some(text)
            }
            (Cell::Text(_), _) => {
                absent.omitted.push(place);
                continue;
            }
            (Cell::Unchanged, _) => {
                absent.unchanged.push(place);
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
    absent
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
        assert_eq!(
            change,
            Change { before: None, after, unchanged, omitted: Vec::new(), op: Op::Update, source, ts_us: 42 }
        );
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

    /// A record that was too large, as JSON.
    fn trimmed(table: &Table, op: Op, images: Images<'_>) -> serde_json::Value {
        let (record, oversize) = record(table, op, images, &STAMP, 0);
        assert!(oversize);
        assert!(bus::limits::place(&record, 1).is_ok(), "the bus takes it");
        serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn what_is_too_large_for_the_bus_is_left_out_and_named() {
        let long = vec![b'x'; bus::limits::MAX_RECORD_BYTES];
        let old = Old::Row(vec![Cell::Text(b"5"), Cell::Text(b"aa"), Cell::Text(b"small")]);
        let cells = [Cell::Text(b"5"), Cell::Null, Cell::Text(&long)];
        let value = trimmed(&table(), Op::Update, Images { before: Some(&old), after: Some(&cells) });
        assert_eq!((&value["before"], &value["after"]), (&json!({"id": 5}), &json!({"id": 5, "member_id": null})));
        assert_eq!(value["omitted"], json!(["q\"uote"]));
        assert_eq!(value.get("unchanged"), None, "it did change");
    }

    #[test]
    fn a_large_value_that_did_not_change_stays_unchanged() {
        let long = vec![b'x'; bus::limits::MAX_RECORD_BYTES];
        let old = Old::Row(vec![Cell::Text(b"5"), Cell::Null, Cell::Text(&long)]);
        let cells = [Cell::Text(b"5"), Cell::Text(b"aa"), Cell::Unchanged];
        let value = trimmed(&table(), Op::Update, Images { before: Some(&old), after: Some(&cells) });
        assert_eq!((&value["unchanged"], value.get("omitted")), (&json!(["q\"uote"]), None));
    }

    #[test]
    fn a_large_deleted_row_keeps_its_key() {
        let long = vec![b'x'; bus::limits::MAX_RECORD_BYTES];
        let old = Old::Row(vec![Cell::Text(b"5"), Cell::Text(b"aa"), Cell::Text(&long)]);
        let value = trimmed(&table(), Op::Delete, Images { before: Some(&old), after: None });
        assert_eq!(value["before"], json!({"id": 5, "member_id": "aa"}));
        assert_eq!(value["omitted"], json!(["q\"uote"]));
    }

    #[test]
    fn many_values_that_are_too_large_together_are_left_out() {
        let names: Vec<String> = (0..1599).map(|i| format!("{i:063}")).collect();
        let columns = names.iter().map(|name| Column::new(name, 25, *name == names[0]));
        let wide = Table::new("db", "crm", "wide", columns.collect(), &names[..1]);
        // Control characters take six bytes each in JSON.
        for length in [1000, 120] {
            let long = vec![1; length];
            let mut cells = vec![Cell::Text(&long); names.len()];
            cells[0] = Cell::Text(b"key");
            let value = trimmed(&wide, Op::Create, Images { before: None, after: Some(&cells) });
            assert_eq!(value["after"], json!({&names[0]: "key"}));
            assert_eq!(value["omitted"].as_array().unwrap().len(), 1598);
        }
    }
}
