//! The kinds of records that the door takes, and how a body becomes a command.

use crate::reason::parse;
use oltp::{Command, Entity};
use runtime::Problem;

/// The noun of a kind in paths.
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

/// The kind that a line's `type` names.
pub(crate) fn of_line(noun: &str) -> Option<Entity> {
    Entity::ALL.into_iter().find(|entity| entity.name() == noun)
}

/// Reads a body as the command that writes a record of a kind. `prefix` is where the body stands in the request.
pub(crate) fn command(entity: Entity, body: &[u8], prefix: &str) -> Result<Command, Problem> {
    Ok(match entity {
        Entity::Store => Command::Store(parse(body, prefix)?),
        Entity::Product => Command::Product(parse(body, prefix)?),
        Entity::Sku => Command::Sku(parse(body, prefix)?),
        Entity::Member => Command::Member(parse(body, prefix)?),
        Entity::Order => Command::Order(parse(body, prefix)?),
        Entity::Return => Command::Return(parse(body, prefix)?),
    })
}
