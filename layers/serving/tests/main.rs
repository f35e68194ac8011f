//! Serving on its real engines: DuckDB and fjall, fed from a bus.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod door;
mod house;
mod profile;
mod run;
mod wait;
