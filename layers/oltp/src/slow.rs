//! Statements that took too long: logged, counted, and the last of them kept. By name, never with a value of a parameter.

use crate::pool::Trouble;
use crate::statement;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many are kept.
const KEPT: usize = 100;

/// A statement that took longer than `slow_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStatement {
    /// Name of the statement: its file in `layers/oltp/sql/`, or `read` and a table.
    pub statement: String,
    /// When it ended.
    pub at: Timestamp,
    /// How long the store took, in milliseconds. The wait for a connection is not in it.
    pub ms: u64,
    /// Rows of the answer.
    pub rows: u64,
    /// SQLSTATE, or `connection`, if it failed.
    pub failure: Option<String>,
}

pub(crate) struct SlowLog {
    threshold: Duration,
    kept: Mutex<VecDeque<SlowStatement>>,
}

impl SlowLog {
    pub(crate) fn new(slow_ms: u64) -> Self {
        Self { threshold: Duration::from_millis(slow_ms), kept: Mutex::default() }
    }

    /// Notes a statement if it was slow; says whether it was.
    pub(crate) fn note(&self, sql: &str, took: Duration, rows: Result<usize, &Trouble>) -> bool {
        if took < self.threshold {
            return false;
        }
        let failure = rows.as_ref().err().map(|trouble| trouble.state());
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let statement = statement::name(sql);
        let rows = rows.unwrap_or(0) as u64;
        tracing::warn!(target: "oltp", statement, ms, rows, failure = failure.as_deref().unwrap_or(""), "a slow statement");
        let slow = SlowStatement { statement, at: Timestamp::now(), ms, rows, failure };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(slow);
        true
    }

    /// The last ones, the newest first.
    pub(crate) fn last(&self) -> Vec<SlowStatement> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slow_ones_are_kept() {
        let log = SlowLog::new(10);
        assert!(!log.note(statement::RUN, Duration::from_millis(9), Ok(1)));
        for ms in 0..150 {
            assert!(log.note(statement::GET_DECISION, Duration::from_millis(10 + ms), Ok(1)));
        }
        assert_eq!(
            statement::name("with ours as (select t.* from crm.member t where t.a = $1) select 1"),
            "read member"
        );
        let last = log.last();
        assert_eq!((last.len(), last[0].ms, last[0].statement.as_str()), (KEPT, 159, "get_decision"));
    }
}
