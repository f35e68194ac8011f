//! Processing.
//!
//! Takes: change records and behaviour events. Gives: derived records: who a signal belongs to, sessions, features, tags, cohorts,
//! intents. Never: calls the store or the serving database; emits twice what happened once.
//!
//! Two stages, each one atomic step a batch. `identify` cleans, dedupes, joins and pins every signal to a trace and its person;
//! `fold` keeps what is known of each person.

mod codec;
pub mod config;
pub mod error;
mod fold;
mod identify;
mod incoming;
pub mod metrics;
mod overlay;
mod run;

pub use config::ProcessingConfig;
pub use error::ProcessingError;
/// A time of the state, microseconds since 1970, as a timestamp; times out of range become the nearest in range.
fn time(micros: i64) -> model::Timestamp {
    let nearest = if micros < 0 { model::Timestamp::MIN } else { model::Timestamp::MAX };
    model::Timestamp::from_microsecond(micros).unwrap_or(nearest)
}

pub use run::run;
