//! DuckDB engine of the analytics.
//!
//! Takes: batches of row changes. Gives: tables, views and SQL over them, in process; one writer, several readers. Never:
//! commits rows without the positions that they reflect; lets a reader write, read files or change a setting.

mod answer;
mod columns;
mod config;
mod engine;
pub mod files;
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
