//! Gateway.
//!
//! Takes: behaviour events over HTTP, as Segment's SDKs send them. Gives: valid, enriched events without personal data on
//! `behaviour.events`; refused ones with the reason on `behaviour.rejected`. Never: touches the store; answers 2xx before the
//! bus said durable.

mod body;
mod canonical;
mod config;
mod error;
mod http;
mod key;
mod metrics;
mod naming;
mod occurrence;
mod privacy;
pub mod quarantine;
mod room;
mod run;
mod wire;

pub use canonical::{Canonicaliser, Receipt, Rejection};
pub use config::{Config, IpPolicy};
pub use error::{Error, Refusal};
pub use run::{Accepted, Gateway};
pub use wire::{Call, Sent};
