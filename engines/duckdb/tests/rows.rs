//! Small words for the tests: an engine in a folder of its own, batches, and questions.

use bus::TopicPartition;
use engine_duckdb::{Config, DuckDb};
use serving::batch::{Row, RowChange, RowOp, Version};
use serving::tables::{self, TABLES, VIEWS};
use serving::value::{Kind, Value};
use serving::{Analytics, Batch, Limits, QueryResult, ServingError};
use std::path::Path;
use std::time::Duration;

/// Limits that no test meets by chance.
pub const LIMITS: Limits = Limits { rows: 100_000, bytes: 64 << 20, sql_bytes: 1 << 20, time: Duration::from_secs(60) };

/// Opens the engine in a folder and makes its tables.
pub async fn open(folder: &Path) -> DuckDb {
    let engine = DuckDb::open(folder, &Config { memory_mb: 256, readers: 2, ..Config::default() }).unwrap();
    engine.migrate(&TABLES, &VIEWS).await.unwrap();
    engine
}

/// Asks and returns the rows as one JSON text.
pub async fn ask(engine: &DuckDb, sql: &str) -> String {
    let result = query(engine, sql).await.unwrap();
    serde_json::to_string(&result.rows).unwrap()
}

/// Asks.
pub async fn query(engine: &DuckDb, sql: &str) -> Result<QueryResult, ServingError> {
    engine.query(sql, Vec::new(), LIMITS).await
}

/// A row of a table, given some of its columns; what is not given is null.
pub fn row(table: &str, values: &[(&str, Value)]) -> Row {
    let table = &TABLES[tables::number(table).unwrap()];
    let mut row = vec![Value::Null; table.columns.len()];
    for (name, value) in values {
        row[table.column(name).unwrap()] = value.clone();
    }
    row
}

/// A change of the key that the rows have.
pub fn put(table: &str, version: Version, created: bool, rows: Vec<Row>) -> RowOp {
    let number = tables::number(table).unwrap();
    let key = rows[0][..TABLES[number].key].to_vec();
    RowOp { table: number, key, version, change: RowChange::Put { rows, created } }
}

/// A key's rows are gone.
pub fn gone(table: &str, version: Version, key: Vec<Value>) -> RowOp {
    let change = RowChange::Put { rows: Vec::new(), created: false };
    RowOp { table: tables::number(table).unwrap(), key, version, change }
}

/// A batch of changes that reaches an offset.
pub fn batch(ops: impl IntoIterator<Item = RowOp>, reach: i64) -> Batch {
    let mut batch = Batch::default();
    for op in ops {
        batch.push(op);
    }
    batch.reach(&TopicPartition::new("crm.store", 0), reach);
    batch
}

/// A store row.
pub fn store(id: u128, name: &str) -> Row {
    row(
        "stores",
        &[("store_id", Value::Uuid(id)), ("store_code", Value::text(format!("S{id}"))), ("name", Value::text(name))],
    )
}

/// A sample value of a kind.
pub fn sample(kind: Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::Int => Value::Int(-7),
        Kind::Decimal => Value::Decimal(125_000),
        Kind::Text => Value::text("täxt"),
        Kind::Timestamp => Value::Timestamp(1_700_000_000_123_456),
        Kind::Date => Value::Date(19_000),
        Kind::Uuid => Value::Uuid(0xf18f_0000_0000_7000_8000_0000_0000_0001),
        Kind::Json => Value::text(r#"{"a": [1, "x"]}"#),
    }
}
