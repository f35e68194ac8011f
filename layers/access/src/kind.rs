//! The kinds that the door takes, and how a body becomes a command.

use crate::reason::parse_as;
use oltp::command::{Command, KINDS, Kind};
use runtime::Problem;

/// The names of all kinds, for whoever named another.
pub(crate) fn names() -> String {
    KINDS.iter().map(|kind| kind.noun).collect::<Vec<_>>().join(", ")
}

/// Reads a body as a command of a kind. `prefix` is where the body stands in the request.
pub(crate) fn command(kind: &'static Kind, body: &[u8], prefix: &str) -> Result<Command, Problem> {
    parse_as(kind, body, prefix)
}
