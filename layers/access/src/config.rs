//! The `[access]` section of the configuration.

use serde::{Deserialize, Serialize};

/// The limits of the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest body of a single write, in bytes.
    pub body_bytes_max: usize,
    /// Longest time for a body to arrive, in milliseconds.
    pub body_ms_max: u64,
    /// Most requests at a time; what comes on top is refused with 503 at once.
    pub requests_max: usize,
    /// Most batches at a time.
    pub batches_max: usize,
    /// Longest line of a batch, in bytes.
    pub line_bytes_max: usize,
    /// Most lines of a batch in one transaction.
    pub chunk_lines_max: usize,
    /// Most bytes of a batch in one transaction, within one line.
    pub chunk_bytes_max: usize,
    /// Longest silence of a batch's sender, in milliseconds.
    pub batch_idle_ms_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 << 20,
            body_ms_max: 30_000,
            requests_max: 128,
            batches_max: 16,
            line_bytes_max: 1 << 20,
            chunk_lines_max: 500,
            chunk_bytes_max: 2 << 20,
            batch_idle_ms_max: 60_000,
        }
    }
}
