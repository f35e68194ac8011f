//! The trait of an analytics engine.

use crate::batch::Batch;
use crate::tables::{Table, View};
use crate::value::Value;
use crate::{Config, ServingError};
use async_trait::async_trait;
use bus::TopicPartition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Limits of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows; an answer with more is cut there and says so.
    pub rows: usize,
    /// Most bytes of values; an answer with more is refused.
    pub bytes: usize,
    /// Longest SQL text, bytes.
    pub sql_bytes: usize,
    /// Longest time.
    pub time: Duration,
}

impl Limits {
    /// The limits of the configuration, narrowed or widened as far as it allows.
    #[must_use]
    pub fn new(config: &Config, rows: Option<usize>, timeout_ms: Option<u64>) -> Self {
        let time = timeout_ms.unwrap_or(config.query_timeout_ms).min(config.query_timeout_ms).max(1);
        Self {
            rows: rows.unwrap_or(config.rows_default).min(config.rows_max),
            bytes: config.result_bytes_max,
            sql_bytes: config.sql_bytes_max,
            time: Duration::from_millis(time),
        }
    }
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueryColumn {
    /// Its name, as the query has it.
    pub name: String,
    /// Its type: boolean, bigint, double, decimal, varchar, date, time, timestamp, … as the engine names it.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QueryResult {
    /// The columns.
    pub columns: Vec<QueryColumn>,
    /// The rows: numbers as numbers, but decimals with a fraction and integers beyond 64 bits as text; times as text in UTC.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Whether there were more rows than the limit.
    pub truncated: bool,
}

/// A store of columns with one writer and many readers.
#[async_trait]
pub trait Analytics: Send + Sync + 'static {
    /// Makes the tables and views. Called once, before anything else.
    ///
    /// # Errors
    /// [`ServingError::Version`] when the files are of another version.
    async fn migrate(&self, tables: &'static [Table], views: &'static [View]) -> Result<(), ServingError>;

    /// Applies a batch and its positions in one transaction. A change older than what is served changes nothing, whatever the
    /// order of batches: for tables of [`crate::tables::Order::Version`] the engine remembers the version of rows that are gone.
    async fn apply(&self, batch: Batch) -> Result<(), ServingError>;

    /// Next offset by partition: what the rows reflect.
    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError>;

    /// Answers one reading statement; anything else is refused.
    async fn query(&self, sql: &str, params: Vec<Value>, limits: Limits) -> Result<QueryResult, ServingError>;

    /// Bytes of log since the last checkpoint.
    fn log_bytes(&self) -> u64;

    /// Moves the log into the tables.
    async fn checkpoint(&self) -> Result<(), ServingError>;
}
