//! Kinds of serving's meters.

/// Records taken into the analytics.
pub const ANALYTICS: &str = "analytics";
/// Records taken into the profiles.
pub const PROFILES: &str = "profiles";
/// Time of one commit of the analytics.
pub const COMMIT: &str = "commit";
/// Time of one checkpoint of the analytics.
pub const CHECKPOINT: &str = "checkpoint";
/// From receipt of a signal to its row in SQL.
pub const SIGNAL_TO_SQL: &str = "signal_to_sql";
/// From receipt of a signal to its person's profile.
pub const SIGNAL_TO_PROFILE: &str = "signal_to_profile";
/// Time of one SQL query.
pub const QUERY: &str = "query";
/// Time of one look-up of a person.
pub const LOOKUP: &str = "lookup";
/// Records that fit no table and were left out.
pub const UNMAPPED: &str = "unmapped";
