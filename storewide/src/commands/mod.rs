//! The commands that ask a server, and the one that is the server.

mod audit;
mod backup;
mod contract;
mod inbox;
mod keys;
mod oltp;
mod output;
mod quarantine;
mod serve;
mod session;
mod sql;
mod status;
mod table;

pub use audit::audit;
pub use backup::{backup, restore};
pub use contract::contract;
pub use inbox::inbox;
pub use keys::keys;
pub use oltp::oltp;
pub use output::print;
pub use quarantine::quarantine;
pub use serve::{interrupted, serve};
pub use session::Session;
pub use sql::sql;
pub use status::status;
