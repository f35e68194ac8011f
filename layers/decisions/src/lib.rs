//! Decisions.
//!
//! Takes: intents from the bus, orders as they are captured. Gives: guarded recommendations, signed webhooks, measured outcomes,
//! each step a record in the store. Never: contacts a person without a verdict of every guardrail, on the record; sends an action
//! under two ids.

pub mod backoff;
mod close;
pub mod config;
pub mod error;
mod execute;
pub mod guardrails;
mod http;
pub mod metrics;
mod outcomes;
mod propose;
mod reader;
pub mod receiver;
mod recommend;
mod run;
mod webhook;

pub use config::Config;
pub use error::DecisionsError;
pub use http::{ApiDoc, router};
pub use run::run;
pub use runtime::standard_webhooks;
