//! Kinds of what processing counts.

/// Records that `identify` read.
pub const IDENTIFIED: &str = "identified";
/// Signals that `fold` applied.
pub const FOLDED: &str = "folded";
/// Events dropped because their message id was seen before.
pub const DUPLICATE: &str = "duplicate";
/// Change records dropped because a newer version was seen before.
pub const STALE: &str = "stale";
/// Signals that nobody can be found for: they have neither a member, nor a contact, nor an anonymous id.
pub const NOBODY: &str = "nobody";
/// Records that do not read as what their topic holds.
pub const UNREADABLE: &str = "unreadable";
/// Events that happened longer before their receipt than the allowed lateness.
pub const LATE: &str = "late";
/// Traces that moved to another person.
pub const MOVED: &str = "moved";
/// Rules that could not be evaluated.
pub const RULE: &str = "rule";
/// Timers that went off.
pub const TIMER: &str = "timer";
/// Time of a step of `identify`.
pub const IDENTIFY_STEP: &str = "identify_step";
/// Time of a step of `fold`.
pub const FOLD_STEP: &str = "fold_step";
/// Failed steps.
pub const STEP: &str = "step";
