//! Kinds of failures that the supervisor reports to its meter.

/// PostgreSQL ended though nobody asked it to.
pub const EXITED: &str = "postgres_exited";
/// A restart did not succeed.
pub const RESTART: &str = "postgres_restart";
/// Restarts that succeeded.
pub const RESTARTED: &str = "postgres_restarted";
