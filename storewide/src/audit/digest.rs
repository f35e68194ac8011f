//! Digests of rows: each engine writes a row as the same text and hashes it, so that only two numbers a row travel.

use anyhow::{Context, Result};
use model::Position;
use oltp::Oltp;
use serving::tables::{Column, Table};
use serving::value::Kind;
use serving::{Analytics, Limits};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What a side has under each key, by hash of the key.
pub type Digests = HashMap<i64, Digest>;

/// What one side has under one key: no table of either side should have two rows there, which is what an audit is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Rows with this key.
    pub rows: u64,
    /// Sum of their hashes: of a row alone, its hash.
    pub hash: u64,
}

impl Digest {
    fn add(&mut self, hash: u64) {
        self.rows += 1;
        self.hash = self.hash.wrapping_add(hash);
    }
}

/// More rows than any table of a laptop has; the engine counts rows in 64 signed bits.
pub const ROWS_MAX: usize = 1 << 40;

/// Separates columns; cannot be part of a value that the store accepts from a door.
const SEPARATOR: &str = "chr(31)";
/// Stands for a column without a value.
const NOTHING: &str = "chr(30)";

/// A key on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What the store has.
    pub store: Digest,
    /// What the serving layer has.
    pub served: Digest,
}

/// Digests of a table of the store, and the position that they are of.
pub async fn of_store(oltp: &Oltp, table: &Table) -> Result<(Digests, Position)> {
    let store = table.store.context("the table mirrors none of the store")?;
    let key = joined(&table.columns[..table.key], in_postgres);
    let plain: Vec<Column> = table.columns.iter().filter(|column| column.kind != Kind::Json).copied().collect();
    let row = joined(&plain, in_postgres);
    let documents = documents(table, |name| format!("to_jsonb({name})::text"));
    let sql =
        format!("select ('x' || left(md5({key}), 16))::bit(64)::bigint, md5({row}), {documents} from crm.{store}");
    let mut digests = Digests::new();
    let take = |key, row: &str, documents: Option<&str>| digests.entry(key).or_default().add(hash(row, documents));
    let position = oltp.read_whole(&sql, take).await.with_context(|| format!("cannot read {store}"))?;
    Ok((digests, position))
}

/// Digests of a table of the serving layer.
pub async fn of_serving(analytics: &dyn Analytics, table: &Table) -> Result<Digests> {
    let key = joined(&table.columns[..table.key], in_serving);
    let plain: Vec<Column> = table.columns.iter().filter(|column| column.kind != Kind::Json).copied().collect();
    let row = joined(&plain, in_serving);
    let documents = documents(table, |name| format!("cast({name} as varchar)"));
    let sql = format!("select left(md5({key}), 16), md5({row}), {documents} from {}", table.name);
    let limits = Limits { rows: ROWS_MAX, bytes: usize::MAX, sql_bytes: 1 << 20, time: Duration::from_secs(600) };
    let answer =
        analytics.query(&sql, Vec::new(), limits).await.with_context(|| format!("cannot read {}", table.name))?;
    let mut digests = Digests::with_capacity(answer.rows.len());
    for row in &answer.rows {
        let key = u64::from_str_radix(row[0].as_str().context("a hash is text")?, 16)?;
        let hash = hash(row[1].as_str().context("a hash is text")?, row[2].as_str());
        digests.entry(key.cast_signed()).or_default().add(hash);
    }
    Ok(digests)
}

/// Engines write a JSON document in different ways, so documents are compared by what they say.
fn hash(row: &str, documents: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    for document in documents.into_iter().flat_map(|text| text.split('\u{1f}')) {
        match serde_json::from_str::<serde_json::Value>(document) {
            Ok(value) => sorted(&value).to_string().hash(&mut hasher),
            Err(_) => document.hash(&mut hasher),
        }
    }
    hasher.finish()
}

/// A document with its keys in order.
pub fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            serde_json::Value::Object(entries.into_iter().collect())
        }
        serde_json::Value::Array(items) => serde_json::Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn documents(table: &Table, text: impl Fn(&str) -> String) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.kind == Kind::Json)
        .map(|column| format!("coalesce({}, {NOTHING})", text(&quoted(column.name))))
        .collect();
    if columns.is_empty() { "cast(null as varchar)".to_owned() } else { columns.join(&format!(" || {SEPARATOR} || ")) }
}

fn joined(columns: &[Column], text: fn(&Column) -> String) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("coalesce({}, {NOTHING})", text(column))).collect();
    columns.join(&format!(" || {SEPARATOR} || "))
}

/// A column's name in quotes: some are words of SQL.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn in_postgres(column: &Column) -> String {
    let name = quoted(column.name);
    match column.kind {
        Kind::Timestamp => format!("cast(cast(extract(epoch from {name}) * 1000000 as bigint) as text)"),
        Kind::Decimal => format!("cast(cast({name} as numeric(18, 4)) as text)"),
        _ => format!("cast({name} as text)"),
    }
}

fn in_serving(column: &Column) -> String {
    let name = quoted(column.name);
    match column.kind {
        Kind::Timestamp => format!("cast(epoch_us({name}) as varchar)"),
        Kind::Decimal => format!("cast(cast({name} as decimal(18, 4)) as varchar)"),
        _ => format!("cast({name} as varchar)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_compared_by_what_they_say() {
        assert_eq!(hash("r", Some(r#"{"a": 1, "b": [1, 2]}"#)), hash("r", Some(r#"{"b":[1,2],"a":1}"#)));
        assert_ne!(hash("r", Some(r#"{"a": 1}"#)), hash("r", Some(r#"{"a": 2}"#)));
        assert_ne!(hash("r", None), hash("s", None));
    }
}
