//! Kinds of the gateway's meters.

/// Events accepted and durable.
pub(crate) const EVENTS: &str = "events";
/// Events refused and put into quarantine.
pub(crate) const REJECTED: &str = "rejected";
/// Requests refused as a whole.
pub(crate) const REFUSED: &str = "refused";
/// Time from a read body to the durable answer.
pub(crate) const ACCEPT: &str = "accept";
/// Failures of the bus.
pub(crate) const PRODUCE: &str = "produce";
/// Failures to follow the write keys.
pub(crate) const WRITE_KEYS: &str = "write_keys";
