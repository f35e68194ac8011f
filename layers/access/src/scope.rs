//! The scopes that keys can have here: an area for each noun that is read or written, and those of the house's other doors.

use oltp::Entity;
use oltp::command::{KINDS, Kind};
use runtime::auth::PERSONAL;
use std::collections::BTreeSet;

/// Scopes that are of no noun of this door.
const OTHERS: [&str; 13] = [
    PERSONAL,
    "keys:read",
    "keys:write",
    "serving:read",
    "decisions:read",
    "decisions:write",
    "status:read",
    "operate:read",
    "operate:write",
    "inbox:read",
    "inbox:write",
    "imports:write",
    "points:read",
];

/// All scopes, but `*`, in the order of the alphabet.
pub(crate) fn all() -> BTreeSet<String> {
    let read = Entity::ALL.iter().map(|entity| format!("{}:read", entity.area()));
    let written = KINDS.iter().map(Kind::scope);
    OTHERS.iter().map(|scope| (*scope).to_owned()).chain(read).chain(written).collect()
}
