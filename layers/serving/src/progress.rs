//! How far a loop has come: what the as-of of an answer says, and what a reader waits for.

use bus::TopicPartition;
use model::{Position, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// Up to when an answer is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AsOf {
    /// The write up to which the store's facts are in it, as a position token; none before the first one was seen.
    pub position: Option<String>,
    /// The time up to which all signals that the bus had are in it; none before the first look.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub complete_to: Option<Timestamp>,
    /// Records that wait on the bus.
    pub lag_records: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The partitions that the loop reads; none before it has begun.
    applied: Option<BTreeMap<TopicPartition, i64>>,
    lsn: Option<u64>,
    complete_to: Option<Timestamp>,
    lag_records: u64,
}

/// Where one loop stands; shared by the loop and the doors.
#[derive(Debug)]
pub struct Progress {
    state: RwLock<State>,
    moved: watch::Sender<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { state: RwLock::default(), moved: watch::Sender::new(0) }
    }
}

impl Progress {
    /// The as-of of an answer that is given now.
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        AsOf {
            position: state.lsn.map(|lsn| Position::Wal(lsn).to_string()),
            complete_to: state.complete_to,
            lag_records: state.lag_records,
        }
    }

    /// Waits until the loop has begun, and has applied all partitions that it reads up to the given offsets, exclusive.
    pub async fn reached(&self, targets: &BTreeMap<TopicPartition, i64>) {
        let mut moved = self.moved.subscribe();
        while !self.is_reached(targets) {
            // The sender lives as long as `self`.
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_reached(&self, targets: &BTreeMap<TopicPartition, i64>) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(applied) = &state.applied else { return false };
        targets.iter().all(|(at, offset)| applied.get(at).is_none_or(|applied| applied >= offset))
    }

    /// Says what is applied.
    pub(crate) fn advance(&self, positions: &BTreeMap<TopicPartition, i64>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let applied = state.applied.get_or_insert_default();
        for (at, next) in positions {
            match applied.get_mut(at) {
                Some(applied) => *applied = (*applied).max(*next),
                None => {
                    applied.insert(at.clone(), *next);
                }
            }
        }
        drop(state);
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Says up to when all is in.
    pub(crate) fn complete(&self, lsn: Option<u64>, complete_to: Option<Timestamp>, lag_records: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.lsn = state.lsn.max(lsn);
        state.complete_to = complete_to.or(state.complete_to);
        state.lag_records = lag_records;
    }
}
