//! The section `[serving]`.

use crate::ServingError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How serving takes records in and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most records in one commit of the analytics. Default 20,000.
    pub batch_records: usize,
    /// About as many bytes of records in one commit. Default 16 MiB.
    pub batch_bytes: usize,
    /// Least time between two commits of the analytics while signals stream in, milliseconds. A signal after a pause is
    /// committed at once. Default 50.
    pub commit_interval_ms: u64,
    /// Log of the analytics that is checkpointed whatever goes on, bytes. Smaller ones are shorter pauses, and more of them (8 MiB
    /// take 0.15 to 0.3 s on two cores), and a shorter replay after a crash. Default 8 MiB.
    pub checkpoint_bytes: u64,
    /// Log of the analytics that is checkpointed when nothing arrives, bytes. Default 1 MiB.
    pub checkpoint_idle_bytes: u64,
    /// Quiet time before an idle checkpoint, milliseconds. Default 2,000.
    pub checkpoint_idle_ms: u64,
    /// Rows of an SQL answer unless the caller asks for fewer or more. Default 10,000.
    pub rows_default: usize,
    /// Most rows of an SQL answer. Default 100,000.
    pub rows_max: usize,
    /// Most bytes of an SQL answer. Default 32 MiB.
    pub result_bytes_max: usize,
    /// Longest SQL text, bytes. Default 100 KiB.
    pub sql_bytes_max: usize,
    /// Time that an SQL query may take, milliseconds. Default and most 30,000.
    pub query_timeout_ms: u64,
    /// Time that a read waits for its `at_least` unless the caller says otherwise, milliseconds. Default 5,000, most 30,000.
    pub wait_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_records: 20_000,
            batch_bytes: 16 << 20,
            commit_interval_ms: 50,
            checkpoint_bytes: 8 << 20,
            checkpoint_idle_bytes: 1 << 20,
            checkpoint_idle_ms: 2_000,
            rows_default: 10_000,
            rows_max: 100_000,
            result_bytes_max: 32 << 20,
            sql_bytes_max: 100 << 10,
            query_timeout_ms: 30_000,
            wait_ms: 5_000,
        }
    }
}

/// Longest time that an SQL query may take, whatever the configuration says, milliseconds.
const QUERY_TIMEOUT_MS_MAX: u64 = 30_000;

/// Longest time that a read may wait for its `at_least`.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

impl Config {
    /// Checks the values.
    ///
    /// # Errors
    /// Naming the key.
    pub fn validate(&self) -> Result<(), ServingError> {
        let fail = |reason: String| Err(ServingError::Config(reason));
        for (key, value) in [
            ("batch_records", self.batch_records),
            ("batch_bytes", self.batch_bytes),
            ("rows_default", self.rows_default),
            ("rows_max", self.rows_max),
            ("result_bytes_max", self.result_bytes_max),
            ("sql_bytes_max", self.sql_bytes_max),
        ] {
            if value == 0 {
                return fail(format!("serving.{key} is 1 or more"));
            }
        }
        if !(1..=QUERY_TIMEOUT_MS_MAX).contains(&self.query_timeout_ms) {
            return fail(format!("serving.query_timeout_ms is between 1 and {QUERY_TIMEOUT_MS_MAX}"));
        }
        if Duration::from_millis(self.wait_ms) > WAIT_MAX {
            return fail(format!("serving.wait_ms is at most {}", WAIT_MAX.as_millis()));
        }
        Ok(())
    }

    /// Time between commits.
    #[must_use]
    pub const fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.commit_interval_ms)
    }

    /// The time to wait for an `at_least`, within the limits.
    #[must_use]
    pub fn wait(&self, asked_ms: Option<u64>) -> Duration {
        Duration::from_millis(asked_ms.unwrap_or(self.wait_ms)).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn wrong_values_are_named() {
        Config::default().validate().unwrap();
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(wrong(|config| config.batch_records = 0).contains("serving.batch_records"));
        assert!(wrong(|config| config.query_timeout_ms = 0).contains("serving.query_timeout_ms"));
        assert!(wrong(|config| config.query_timeout_ms = 30_001).contains("serving.query_timeout_ms"));
        assert!(wrong(|config| config.sql_bytes_max = 0).contains("serving.sql_bytes_max"));
        assert!(wrong(|config| config.wait_ms = 30_001).contains("serving.wait_ms"));
    }

    #[test]
    fn callers_stay_within_the_configured_time() {
        let config = Config { query_timeout_ms: 20, ..Config::default() };
        let time = |asked| Limits::new(&config, None, asked).time.as_millis();
        assert_eq!([time(None), time(Some(0)), time(Some(7)), time(Some(90_000))], [20, 1, 7, 20]);
        // Not even a configuration that nobody checked ends a request by a panic.
        let unchecked = Config { query_timeout_ms: 0, ..Config::default() };
        assert_eq!(Limits::new(&unchecked, None, None).time.as_millis(), 1);
    }
}
