//! The engine on real files: what it keeps, what it refuses, what survives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apply;
mod crash;
mod door;
mod rows;
mod view;
