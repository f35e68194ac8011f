//! Capture.
//!
//! Takes: PostgreSQL's log (logical replication, `pgoutput`). Gives: change records on `crm.<table>` in Debezium's envelope, each
//! exactly once, and `capture.progress`. Never: receives raw events; skips a gap silently; holds back PostgreSQL's log when
//! nothing changes.

mod array;
mod batch;
mod config;
mod copy;
mod cursor;
mod envelope;
mod error;
mod lint;
pub mod metrics;
mod pgoutput;
mod publication;
mod run;
mod slot;
mod snapshot;
mod store;
mod stream;
mod table;
mod value;

pub use config::Config;
pub use cursor::Position;
pub use error::CaptureError;
pub use lint::{Fault, Finding};
pub use run::run;
pub use store::{NAMESPACE, position};
