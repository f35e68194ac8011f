//! The read-only door: one reading statement, within limits of rows, bytes and time.
//!
//! DuckDB itself says whether a text is one reading statement: `json_serialize_sql` parses it and serialises SELECT statements
//! only. Behind that stand a read-only transaction, locked settings and no access to files.

use crate::{answer, store};
use duckdb::types::{TimeUnit, Value as Sql};
use duckdb::{Connection, InterruptHandle, params_from_iter};
use serving::value::{DECIMAL_SCALE, Value};
use serving::{Limits, QueryResult, ServingError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Pause between two interrupts of a query that has not ended yet: one that comes before it began has no effect.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// What DuckDB's own parser says of a text.
const CHECK: &str = "with parsed as (select json_serialize_sql(cast(? as varchar)) as tree)
    select tree->>'error', tree->>'error_type', tree->>'error_message', json_array_length(tree->'statements') from parsed";

/// The reading connections.
pub(crate) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

/// A connection on loan; it goes back whatever happens.
struct Loan {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

/// Stops the query when the caller goes away.
struct StopOnDrop(Option<Arc<InterruptHandle>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.interrupt();
        }
    }
}

impl Readers {
    pub fn new(connections: Vec<Connection>) -> Self {
        let places = Arc::new(Semaphore::new(connections.len()));
        Self { free: Arc::new(Mutex::new(connections)), places }
    }

    pub async fn query(&self, sql: String, params: Vec<Value>, limits: Limits) -> Result<QueryResult, ServingError> {
        if sql.len() > limits.sql_bytes {
            return Err(ServingError::Query(format!("the text is longer than {} bytes", limits.sql_bytes)));
        }
        let late = || ServingError::Timeout(u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX));
        let deadline = tokio::time::Instant::now() + limits.time;
        let place =
            tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await.map_err(|_| late())?;
        let place = place.map_err(|error| ServingError::Store(error.to_string()))?;
        let connection = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan { connection, free: Arc::clone(&self.free) };
        let Some(handle) = loan.connection.as_ref().map(Connection::interrupt_handle) else {
            return Err(ServingError::Store("no reading connection".to_owned()));
        };
        let mut guard = StopOnDrop(Some(Arc::clone(&handle)));
        let mut running = tokio::task::spawn_blocking(move || {
            let _place = place;
            let answer = loan.connection.as_ref().map(|connection| answer_on(connection, &sql, &params, limits));
            drop(loan);
            answer
        });
        let ended = tokio::time::timeout_at(deadline, &mut running).await;
        guard.0 = None;
        let Ok(outcome) = ended else {
            // Some functions do not look for an interrupt while they work: the caller is answered in time all the same, and the
            // connection stays on loan until the query has ended.
            tokio::spawn(async move {
                loop {
                    handle.interrupt();
                    if tokio::time::timeout(INTERRUPT_AGAIN, &mut running).await.is_ok() {
                        break;
                    }
                }
            });
            return Err(late());
        };
        let answer = outcome.map_err(|error| ServingError::Store(error.to_string()))?;
        answer.unwrap_or_else(|| Err(ServingError::Store("no reading connection".to_owned())))
    }
}

fn answer_on(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    limits: Limits,
) -> Result<QueryResult, ServingError> {
    let sql = gate(connection, sql)?;
    connection.execute_batch("begin transaction read only").map_err(store)?;
    let answer = answer_in(connection, &sql, params, limits);
    // A failed statement has ended the transaction by itself.
    if let Err(error) = connection.execute_batch("rollback") {
        tracing::debug!(target: "serving", %error, "the reading transaction had ended");
    }
    answer
}

/// A text that DuckDB has read as one reading statement.
enum Gated<'a> {
    /// A query; it may be put in parentheses.
    Query(&'a str),
    /// An EXPLAIN of one.
    Explain(&'a str),
}

fn gate<'a>(connection: &Connection, sql: &'a str) -> Result<Gated<'a>, ServingError> {
    let text = sql.trim_start();
    if let Some(rest) = explained(text) {
        check(connection, rest)?;
        return Ok(Gated::Explain(text));
    }
    check(connection, text)?;
    Ok(Gated::Query(text))
}

/// What stands behind `EXPLAIN` and `ANALYZE`; it is parsed for itself.
fn explained(text: &str) -> Option<&str> {
    let word = |text: &'_ str, word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let rest = word(text, "explain").then(|| text.get("explain".len()..))??;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    if word(rest, "analyze") { rest.get("analyze".len()..) } else { Some(rest) }
}

fn check(connection: &Connection, sql: &str) -> Result<(), ServingError> {
    let (error, kind, text, count): (String, Option<String>, Option<String>, Option<i64>) = connection
        .query_row(CHECK, [sql], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .map_err(|error| ServingError::Query(message(&error)))?;
    if error != "false" {
        let text = text.unwrap_or_default();
        return Err(if kind.as_deref() == Some("parser") {
            ServingError::Query(text)
        } else {
            ServingError::NotARead(text)
        });
    }
    match count {
        Some(1) => Ok(()),
        count => Err(ServingError::NotARead(format!("there are {} statements", count.unwrap_or(0)))),
    }
}

fn answer_in(
    connection: &Connection,
    sql: &Gated<'_>,
    params: &[Value],
    limits: Limits,
) -> Result<QueryResult, ServingError> {
    let failed = |error: duckdb::Error| ServingError::Query(message(&error));
    let mut statement = match sql {
        Gated::Explain(text) => connection.prepare(text).map_err(failed)?,
        Gated::Query(text) => {
            // One row more than asked tells whether there are more.
            let inner = text.trim_end().trim_end_matches(';');
            let limited = format!("select * from (\n{inner}\n) as answer limit {}", limits.rows.saturating_add(1));
            match connection.prepare(&limited) {
                Ok(statement) => statement,
                // Not everything that is a query can stand in parentheses; its own failure tells more. The first one has ended
                // the transaction.
                Err(_) => {
                    connection.execute_batch("rollback; begin transaction read only").map_err(store)?;
                    connection.prepare(text).map_err(failed)?
                }
            }
        }
    };
    let bound = params_from_iter(params.iter().map(bind));
    let batches = statement.query_arrow(bound).map_err(failed)?;
    answer::collect(batches, limits)
}

fn bind(value: &Value) -> Sql {
    match value {
        Value::Null | Value::Unchanged => Sql::Null,
        Value::Bool(value) => Sql::Boolean(*value),
        Value::Int(value) => Sql::BigInt(*value),
        Value::Decimal(value) => Sql::Text(model::Decimal::new(*value, DECIMAL_SCALE).to_string()),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Timestamp(micros) => Sql::Timestamp(TimeUnit::Microsecond, *micros),
        Value::Date(days) => Sql::Date32(*days),
        Value::Uuid(_) => match value.to_json(serving::value::Kind::Uuid) {
            serde_json::Value::String(text) => Sql::Text(text),
            _ => Sql::Null,
        },
    }
}

/// DuckDB's words without the crate's.
fn message(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
