//! The read-only door: one reading statement, within limits of rows, bytes and time.
//!
//! The gate says which texts pass. Behind it stand a read-only transaction, locked settings and no access to files.

use crate::gate::{Gated, gate};
use crate::{answer, message, store};
use duckdb::types::{TimeUnit, Value as Sql};
use duckdb::{Connection, InterruptHandle, params_from_iter};
use serving::value::{DECIMAL_SCALE, Value};
use serving::{Limits, QueryResult, ServingError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// Pause between two interrupts of a query that has not ended yet: one that comes before it began has no effect.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// Stack of a query. DuckDB parses, plans and binds by recursion; what the gate lets pass needs a small part of it.
const STACK_BYTES: usize = 64 << 20;

/// The reading connections.
pub(crate) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

/// A connection on loan; it goes back whatever happens.
struct Loan {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

type Answer = Result<QueryResult, ServingError>;

impl Readers {
    pub fn new(connections: Vec<Connection>) -> Self {
        let places = Arc::new(Semaphore::new(connections.len()));
        Self { free: Arc::new(Mutex::new(connections)), places }
    }

    pub async fn query(&self, sql: String, params: Vec<Value>, limits: Limits) -> Answer {
        if sql.len() > limits.sql_bytes {
            return Err(ServingError::Query(format!("the text is longer than {} bytes", limits.sql_bytes)));
        }
        let late = ServingError::Timeout(u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX));
        let deadline = Instant::now() + limits.time;
        let Ok(place) = tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await else {
            return Err(late);
        };
        let place = place.map_err(|error| ServingError::Store(error.to_string()))?;
        let connection = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan { connection, free: Arc::clone(&self.free), _place: place };
        let Some(handle) = loan.connection.as_ref().map(Connection::interrupt_handle) else {
            return Err(no_connection());
        };
        let (done, running) = oneshot::channel();
        let work = move || {
            let answer = loan.connection.as_ref().map(|connection| answer_on(connection, &sql, &params, limits));
            // The loan travels with the answer, so that nobody interrupts the next query on the connection.
            drop(done.send((answer.unwrap_or_else(|| Err(no_connection())), loan)));
        };
        let thread = std::thread::Builder::new().name("serving.query".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(work).map_err(|error| ServingError::Store(error.to_string()))?;
        let (caller, answer) = oneshot::channel();
        tokio::spawn(watch(running, caller, deadline, late, handle));
        answer.await.unwrap_or_else(|_| Err(ServingError::Store("the query was dropped".to_owned())))
    }
}

/// Hands the answer on. When the time is up or the caller has left, the query is interrupted until it has ended, whoever is
/// there to see it: some functions do not look for an interrupt while they work, and the connection stays on loan until then.
async fn watch(
    mut running: oneshot::Receiver<(Answer, Loan)>,
    mut caller: oneshot::Sender<Answer>,
    deadline: Instant,
    late: ServingError,
    handle: Arc<InterruptHandle>,
) {
    let ended = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        () = caller.closed() => None,
        () = tokio::time::sleep_until(deadline) => None,
    };
    if let Some(ended) = ended {
        let died = |_| Err(ServingError::Store("the query died".to_owned()));
        // The loan ends here; nobody may be left to hear the answer.
        drop(caller.send(ended.map_or_else(died, |(answer, _loan)| answer)));
        return;
    }
    drop(caller.send(Err(late)));
    loop {
        handle.interrupt();
        if tokio::time::timeout(INTERRUPT_AGAIN, &mut running).await.is_ok() {
            break;
        }
    }
}

fn no_connection() -> ServingError {
    ServingError::Store("no reading connection".to_owned())
}

fn answer_on(connection: &Connection, sql: &str, params: &[Value], limits: Limits) -> Answer {
    begin(connection)?;
    let answer = gate(connection, sql).and_then(|sql| answer_in(connection, &sql, params, limits));
    // A failed statement has ended the transaction by itself.
    if let Err(error) = connection.execute_batch("rollback") {
        tracing::debug!(target: "serving", %error, "the reading transaction had ended");
    }
    answer
}

/// Begins a reading transaction, also where a panic left one open.
fn begin(connection: &Connection) -> Result<(), ServingError> {
    const BEGIN: &str = "begin transaction read only";
    if connection.execute_batch(BEGIN).is_err() {
        connection.execute_batch("rollback").and_then(|()| connection.execute_batch(BEGIN)).map_err(store)?;
    }
    Ok(())
}

fn answer_in(connection: &Connection, sql: &Gated<'_>, params: &[Value], limits: Limits) -> Answer {
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
                    begin(connection)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_a_panic_left_open_is_ended() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("begin transaction").unwrap();
        connection.execute_batch("select error('x')").unwrap_err();
        let limits = Limits { rows: 1, bytes: 1_000, sql_bytes: 100, time: Duration::from_secs(60) };
        for _ in 0..2 {
            assert_eq!(answer_on(&connection, "select 1", &[], limits).unwrap().rows.len(), 1);
        }
    }
}
