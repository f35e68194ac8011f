//! Embedded engine on fjall.
//!
//! Takes: a directory. Gives: the bus (log, groups, atomic steps) and a processor's state, in one database and one write
//! batch. Never: acknowledges before the disk has it; shows a part of a step after a crash.
//!
//! Reading order: `store` opens, `bus` is the door, `writer` is the one thread that writes, `reader` reads, `chunk` and `keys`
//! are what lies on the disk, `journal` mends the end that a power cut tore.

pub mod bench;
mod bus;
mod chunk;
mod config;
mod error;
mod group;
mod journal;
mod keys;
mod metrics;
mod profiles;
mod reader;
mod retention;
mod store;
mod topics;
mod writer;

pub use bus::FjallBus;
pub use config::Options;
pub use error::StoreError;
pub use profiles::FjallProfiles;
pub use store::{Store, TopicUsage};
