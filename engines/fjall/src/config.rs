//! Settings of the embedded engine.

use serde::Deserialize;
use std::time::Duration;

/// Section `[bus]` of the configuration. The defaults suit a laptop that runs the whole house.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Cache of blocks read from disk, MiB, shared by all of the database. Default 32.
    pub cache_mib: u64,
    /// Records kept in memory before they go to a table, MiB; up to four times as much while writes outrun the disk. Default 32.
    pub log_buffer_mib: u64,
    /// The same for the processors' state, MiB. Default 16.
    pub state_buffer_mib: u64,
    /// Newest records kept ready for readers at the tail, MiB; they are mostly the same bytes as the buffer's. Default 16.
    pub tail_mib: u64,
    /// Size of all journals, MiB, at which lagging tables are flushed; bounds the time of a restart. At least 64. Default 128.
    pub journal_mib: u64,
    /// Silence after which a member of a group is taken for dead, milliseconds. Default 10,000.
    pub session_timeout_ms: u64,
    /// Time between two rounds of retention, seconds. Default 60.
    pub retention_every_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_mib: 32,
            log_buffer_mib: 32,
            state_buffer_mib: 16,
            tail_mib: 16,
            journal_mib: 128,
            session_timeout_ms: 10_000,
            retention_every_s: 60,
        }
    }
}

impl Options {
    /// Silence after which a member of a group is taken for dead.
    #[must_use]
    pub const fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms)
    }
}
