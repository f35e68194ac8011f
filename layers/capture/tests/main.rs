//! Capture from real PostgreSQL, both versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod crash;
mod gap;
mod handover;
mod idle;
mod lint;
mod rig;
mod rows;
