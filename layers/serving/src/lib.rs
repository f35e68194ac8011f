//! Serving.
//!
//! Takes: records from the bus. Gives: the profile of one person, SQL over many, and with every answer its as-of. Never: is
//! written by anything but its own loops; serves without saying up to when the answer is complete.
//!
//! Two shapes, one mapping: [`mapping`] turns records into row changes, [`Analytics`] keeps them as columns, [`Profiles`] as
//! one document a person.

mod analytics;
mod backlog;
pub mod batch;
pub mod config;
mod error;
mod feed;
pub mod freshness;
pub mod http;
pub mod mapping;
pub mod metrics;
pub mod placement;
mod profiles;
mod progress;
mod run;
pub mod tables;
pub mod value;

pub use analytics::{Analytics, Limits, QueryColumn, QueryResult};
pub use batch::Batch;
pub use config::Config;
pub use error::ServingError;
pub use freshness::Freshness;
pub use http::{ApiDoc, Serving, router};
pub use profiles::{Asked, Pairs, ProfileStore, ProfileView, Profiles};
pub use progress::{AsOf, Progress};
pub use run::{Work, run_analytics, run_profiles};
