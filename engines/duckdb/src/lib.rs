//! DuckDB engine of the analytics.
//!
//! Takes: batches of row changes. Gives: tables, views and SQL over them, in process; one writer, several readers. Never:
//! commits rows without the positions that they reflect; lets a reader write, read files or change a setting.

mod answer;
mod columns;
mod config;
mod engine;
pub mod files;
mod functions;
mod gate;
mod read;
mod schema;
mod write;

pub use config::Config;
pub use engine::DuckDb;

use serving::ServingError;

/// A failure of the store, in our words.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn store(error: duckdb::Error) -> ServingError {
    ServingError::Store(error.to_string())
}

/// DuckDB's words without the crate's.
fn message(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
