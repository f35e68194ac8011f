//! The section `[duckdb]`.

use serde::{Deserialize, Serialize};

/// How much DuckDB may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Memory for data and queries, MiB; beyond it queries spill to disk or fail. Default 512.
    pub memory_mb: u32,
    /// Threads of all queries together. Default 2.
    pub threads: u16,
    /// Queries that run side by side; others wait. Default 4.
    pub readers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory_mb: 512, threads: 2, readers: 4 }
    }
}
