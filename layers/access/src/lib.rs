//! Access: API access and data router; business facts in.
//!
//! Takes: business facts over HTTP, one at a time or as a stream of lines. Gives: commands to oltp, and to the caller what they
//! did, with the position token to wait for. Never: writes to the bus; answers 2xx before COMMIT; keeps a whole batch in memory.

mod batch;
mod body;
mod caller;
pub mod config;
mod error;
mod http;
mod keys;
mod kind;
mod lines;
mod members;
pub mod metrics;
mod openapi;
mod points;
mod reason;
mod records;

pub use config::Config;
pub use http::{Access, POSITION, router};
pub use openapi::openapi;
