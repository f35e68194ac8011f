//! The commands that ask a server, and the one that is the server.

mod audit;
mod keys;
mod output;
mod quarantine;
mod serve;
mod session;
mod sql;
mod status;
mod table;

pub use audit::audit;
pub use keys::keys;
pub use output::print;
pub use quarantine::quarantine;
pub use serve::{interrupted, serve};
pub use session::Session;
pub use sql::sql;
pub use status::status;
