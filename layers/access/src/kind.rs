//! The kinds that the door takes and gives, and how a body becomes a command.

use crate::reason::parse_as;
use oltp::Entity;
use oltp::command::{Command, KINDS, Kind};
use runtime::Problem;

/// The noun of a kind of record in paths.
pub(crate) const fn path(entity: Entity) -> &'static str {
    match entity {
        Entity::Store => "stores",
        Entity::Product => "products",
        Entity::Sku => "skus",
        Entity::Member => "members",
        Entity::Order => "orders",
        Entity::Return => "returns",
    }
}

/// The names of all kinds, for whoever named another.
pub(crate) fn names() -> String {
    KINDS.iter().map(|kind| kind.noun).collect::<Vec<_>>().join(", ")
}

/// Reads a body as a command of a kind. `prefix` is where the body stands in the request.
pub(crate) fn command(kind: &'static Kind, body: &[u8], prefix: &str) -> Result<Command, Problem> {
    parse_as(kind, body, prefix)
}
