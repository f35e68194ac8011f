//! The gateway over real HTTP, on the real log.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod durability;
mod hostile;
mod house;
mod keys;
mod privacy;
mod segment;
mod speed;
