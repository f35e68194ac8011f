//! Oltp: the transactional store of business truth, on PostgreSQL.
//!
//! Takes: commands (business facts named by the caller's own codes) and the steps of decisions. Gives: consistent records,
//! double-entry points, an audit log, idempotent answers, and the log position that a reader can wait for.
//! Never: loses or doubles a business fact; answers before COMMIT; shows a caller a raw database error.

pub mod bench;
mod check;
pub mod command;
pub mod config;
mod coupon_code;
pub mod decision;
pub mod error;
pub mod export;
mod gather;
mod gtin;
pub mod imports;
pub mod inbox;
pub mod keys;
pub mod metrics;
mod migrate;
mod online;
mod order;
pub mod outcome;
mod partition;
mod partition_size;
pub mod points;
mod pool;
mod prepare;
pub mod price;
pub mod read;
mod run;
mod slow;
mod snapshot;
pub mod statement;
mod status;
mod upkeep;
mod vacuum;

pub use command::{Command, Context, Done, Effect};
pub use config::Config;
pub use error::OltpError;
pub use keys::{KeyInfo, NewKey};
pub use migrate::{MIGRATIONS, Migration, MigrationReport, Pending, SchemaState};
pub use partition::{Partition, Upkeep};
pub use partition_size::{Change, PartitionSize};
pub use pool::{Client, Oltp, PoolStatus};
pub use read::{Ask, Entity, Page};
pub use slow::SlowStatement;
pub use status::{Limits, Status};
pub use upkeep::Due;
pub use vacuum::TableHealth;
