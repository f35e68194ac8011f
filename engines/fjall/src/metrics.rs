//! Kinds of the bus' meter.

/// Records appended.
pub(crate) const APPENDED: &str = "appended";
/// Group commits, and how long one took, sync included.
pub(crate) const COMMIT: &str = "commit";
/// Records removed by trimming and retention.
pub(crate) const TRIMMED: &str = "trimmed";
