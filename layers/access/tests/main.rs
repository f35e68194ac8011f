//! The door over a real socket, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod batch;
mod document;
mod house;
mod keys;
mod records;
