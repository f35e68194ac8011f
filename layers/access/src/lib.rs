//! Access: API access and data router; business facts in.
//!
//! Takes: business facts over HTTP, one at a time, as a stream of lines, as an import, or as the signed deliveries of sources.
//! Gives: commands to oltp, and to the caller what they did, with the position token to wait for; a durable raw inbox.
//! Never: writes to the bus; answers 2xx before COMMIT; keeps a whole batch in memory; reads a delivery before it is known whose
//! it is.

mod batch;
mod body;
mod caller;
pub mod config;
mod deliveries;
mod error;
mod hooks;
mod http;
mod imports;
mod intake;
mod keys;
mod kind;
mod line;
mod lines;
mod members;
pub mod metrics;
mod openapi;
mod points;
mod prices;
mod rate;
mod reason;
pub mod receiver;
mod records;
mod router;
mod scope;
mod tap;

pub use config::Config;
pub use http::{Access, POSITION, router};
pub use intake::{ApiDoc, Intake};
pub use openapi::{complete, openapi};
