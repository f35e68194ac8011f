//! Kinds of what capture counts and measures.

/// Changes put on the bus.
pub const CHANGE: &str = "change";
/// Rows read by a snapshot.
pub const SNAPSHOT_ROW: &str = "snapshot_row";
/// Changes of tables that are in the publication but not in the configuration.
pub const IGNORED: &str = "ignored";
/// Changes that were on the bus already.
pub const REPEAT: &str = "repeat";
/// From commit to durable on the bus.
pub const COMMIT_TO_BUS: &str = "commit_to_bus";
/// A session ended by a failure; another one follows.
pub const SESSION: &str = "session";
/// Changes may be missing: the slot was lost, recreated or invalidated, or the publication changed. A new snapshot mends it.
pub const GAP: &str = "gap";
/// PostgreSQL is about to remove log that the slot still needs.
pub const SLOT_AT_RISK: &str = "slot_at_risk";
/// A table of the publication makes writes fail.
pub const LINT: &str = "lint";
/// A record had to leave out large values, since the bus does not take records of that size.
pub const OVERSIZE: &str = "oversize";
