//! Decisions on a real PostgreSQL, with a real receiver behind real HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;
mod door;
mod guardrails;
mod house;
mod outcomes;
mod recovery;
