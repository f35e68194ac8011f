//! The store on real PostgreSQL, on the oldest and the newest major that the program runs on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should end")]

mod batches;
mod commands;
mod decisions;
mod histories;
mod idempotency;
mod keys;
mod migrations;
mod orders;
mod reads;
mod returns;
mod shop;
mod statements;
mod trouble;
