//! The commands that talk to a running server, and the one that is the server.

mod audit;
mod keys;
mod output;
mod quarantine;
mod serve;
mod sql;
mod status;
mod table;

pub use audit::audit;
pub use keys::keys;
pub use quarantine::quarantine;
pub use serve::{interrupted, serve};
pub use sql::sql;
pub use status::status;
