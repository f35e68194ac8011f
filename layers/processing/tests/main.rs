//! Processing on the real embedded engine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod facts;
mod identity;
mod mutation;
mod rig;
mod timers;
