//! The supervisor against real PostgreSQL, both versions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod life;
mod root;
