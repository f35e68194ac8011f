//! The section `[duckdb]`.

use serde::{Deserialize, Serialize};
use serving::ServingError;

/// How much DuckDB may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Memory for data and queries, MiB; beyond it queries spill to disk or fail. Default 512.
    pub memory_mb: u32,
    /// Disk that queries may spill to, MiB. Default 4,096.
    pub scratch_mb: u32,
    /// Threads of all queries together. Default half of the cores, at least 1: the doors and the fold need the others, and a
    /// small commit is slower on two threads than on one.
    pub threads: u16,
    /// Queries that run side by side; others wait. Default 4.
    pub readers: usize,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = u16::try_from((cores / 2).clamp(1, PARALLEL_MAX)).unwrap_or(1);
        Self { memory_mb: 512, scratch_mb: 4_096, threads, readers: 4 }
    }
}

/// Least memory, MiB: with less not even the tables are made.
const MEMORY_MB_MIN: u32 = 64;
/// Most threads and readers; more only wait for each other.
const PARALLEL_MAX: usize = 256;

impl Config {
    /// Checks the values.
    ///
    /// # Errors
    /// Naming the key.
    pub fn validate(&self) -> Result<(), ServingError> {
        let fail = |reason: String| Err(ServingError::Config(reason));
        if self.memory_mb < MEMORY_MB_MIN {
            return fail(format!("duckdb.memory_mb is {MEMORY_MB_MIN} or more"));
        }
        for (key, value) in [("threads", usize::from(self.threads)), ("readers", self.readers)] {
            if !(1..=PARALLEL_MAX).contains(&value) {
                return fail(format!("duckdb.{key} is between 1 and {PARALLEL_MAX}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named() {
        Config::default().validate().unwrap();
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(wrong(|config| config.memory_mb = 1).contains("duckdb.memory_mb"));
        assert!(wrong(|config| config.threads = 0).contains("duckdb.threads"));
        assert!(wrong(|config| config.readers = 0).contains("duckdb.readers"));
    }
}
