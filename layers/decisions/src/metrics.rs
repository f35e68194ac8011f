//! Kinds of the layer's meters.

/// A recommendation that passed all guardrails.
pub const RECOMMENDED: &str = "recommended";
/// A recommendation that a guardrail denied.
pub const BLOCKED: &str = "blocked";
/// An intent that is too old to be answered.
pub const STALE: &str = "stale";
/// A recommendation that was there before.
pub const REPEATED: &str = "repeated";
/// A recommendation withdrawn because its intent proved wrong.
pub const RETRACTED: &str = "retracted";
/// An action that its receiver has.
pub const EXECUTED: &str = "executed";
/// An action given up.
pub const GIVEN_UP: &str = "given_up";
/// An attempt that did not arrive and will be repeated.
pub const RETRIED: &str = "retried";
/// An action that a guardrail stopped right before it would have been sent.
pub const WITHHELD: &str = "withheld";
/// An attempt whose end could not be recorded; the action is due again when its lease ends.
pub const UNRECORDED: &str = "unrecorded";
/// An outcome that was written or corrected.
pub const OUTCOME: &str = "outcome";
/// A record that cannot be dealt with and was passed over; it stays on the bus.
pub const PASSED_OVER: &str = "passed_over";
/// An attempt to deliver, from sending to answer.
pub const ATTEMPT: &str = "attempt";
/// A loop that failed and tries again.
pub const LOOP: &str = "loop";
