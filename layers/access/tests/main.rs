//! The door over a real socket, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) use engine_postgres::on_both;

mod bad_input;
mod batch;
mod coupons;
mod document;
mod hooks;
mod house;
mod imports;
mod inbox;
mod keys;
mod limits;
mod members;
mod personal;
mod records;
