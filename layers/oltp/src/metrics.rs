//! Kinds of the layer's meters.

/// A command that was answered.
pub const COMMAND: &str = "command";
/// A transaction that carried one or more commands.
pub const TRANSACTION: &str = "transaction";
/// A command that was refused because of what it says.
pub const REFUSED: &str = "refused";
/// A command that got the stored answer to an earlier one.
pub const REPEATED: &str = "repeated";
/// A transaction that was tried again.
pub const RETRY: &str = "retry";
/// A statement: how long it took, and whether it failed.
pub const STATEMENT: &str = "statement";
/// A statement that took longer than `slow_ms`.
pub const SLOW: &str = "slow_statement";
/// The wait for a connection of the pool.
pub const POOL_WAIT: &str = "pool_wait";
