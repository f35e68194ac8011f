//! Tests of the whole house.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod backup;
mod commands;
mod crash;
mod doors;
mod import;
mod intake;
mod journey;
mod mutation;
mod personal;
mod program;
mod schema;
mod tidy;
