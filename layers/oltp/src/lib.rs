//! Oltp: the transactional store of business truth, on PostgreSQL.
//!
//! Takes: commands (business facts named by the caller's own codes) and the steps of decisions. Gives: consistent records,
//! double-entry points, an audit log, idempotent answers, and the log position that a reader can wait for.
//! Never: loses or doubles a business fact; answers before COMMIT; shows a caller a raw database error.

pub mod bench;
mod check;
pub mod command;
pub mod config;
pub mod decision;
pub mod error;
mod gtin;
mod keys;
pub mod metrics;
mod migrate;
mod order;
pub mod outcome;
mod partition;
mod pool;
mod prepare;
pub mod price;
pub mod read;
mod run;
mod snapshot;
pub mod statement;
mod stock;

pub use command::{Command, Context, Done, Effect};
pub use config::Config;
pub use error::OltpError;
pub use keys::KeyInfo;
pub use migrate::MigrationReport;
pub use partition::{Partition, Upkeep};
pub use pool::{Client, Oltp};
pub use read::{Ask, Entity, Page};
