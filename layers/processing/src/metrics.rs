//! Kinds of what processing counts, and counts that wait for the commit of their step: a step that is done again counts once.

use runtime::Meter;
use std::collections::BTreeMap;

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
/// Facts about orders so old that they are not kept one by one any more.
pub const PAST: &str = "past";

/// Signals of a person whose state is too large to take them in.
pub const OVERSIZE: &str = "oversize";

/// What one step counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records handled, by kind.
    pub handled: BTreeMap<&'static str, u64>,
    /// Other things, by kind.
    pub counted: BTreeMap<&'static str, u64>,
    /// Failures: kind and words without personal data.
    pub failed: Vec<(&'static str, String)>,
}

impl Counts {
    /// Counts something.
    pub fn count(&mut self, kind: &'static str, count: u64) {
        *self.counted.entry(kind).or_default() += count;
    }

    /// Notes a failure.
    pub fn fail(&mut self, kind: &'static str, words: String) {
        self.failed.push((kind, words));
    }

    /// Tells the meter.
    pub fn tell(self, meter: &Meter) {
        self.handled.into_iter().for_each(|(kind, count)| meter.handled(kind, count));
        self.counted.into_iter().filter(|(_, count)| *count > 0).for_each(|(kind, count)| meter.count(kind, count));
        self.failed.into_iter().for_each(|(kind, words)| meter.failed(kind, &words));
    }
}
