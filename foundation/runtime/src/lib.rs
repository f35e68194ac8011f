//! Runtime: what every layer needs to run.
//!
//! Takes: a config file, the environment, futures. Gives: validated sections, named tasks with an ordered stop, meters,
//! problem documents, HTTP listeners, signatures of webhooks. Never: knows a layer's business.

pub mod auth;
pub mod clock;
pub mod config;
pub mod http;
pub mod problem;
pub mod standard_webhooks;
pub mod tasks;
pub mod telemetry;

pub use clock::{Clock, SystemClock};
pub use problem::Problem;
pub use tasks::Tasks;
pub use telemetry::{LagUnit, LayerStatus, Meter, Telemetry};
