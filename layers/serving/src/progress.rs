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
    /// The time up to which all signals that the bus had are in it, with all that follows from them; none before the first look.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub complete_to: Option<Timestamp>,
    /// Records that wait on the bus.
    pub lag_records: u64,
    /// Records that processing has not taken in yet: features, sessions, tags and all else that is derived lack them.
    #[serde(default)]
    pub processing_lag_records: u64,
}

/// Up to when all is in, as a look at the bus found it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    pub lsn: Option<u64>,
    pub complete_to: Option<Timestamp>,
    pub lag_records: u64,
    pub processing_lag_records: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The partitions that the loop reads; none before it has begun.
    applied: Option<BTreeMap<TopicPartition, i64>>,
    reach: Reach,
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
            position: state.reach.lsn.map(|lsn| Position::Wal(lsn).to_string()),
            complete_to: state.reach.complete_to,
            lag_records: state.reach.lag_records,
            processing_lag_records: state.reach.processing_lag_records,
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

    /// Says what is applied, and up to when all is in; whoever is woken by the one sees the other.
    pub(crate) fn advance(&self, positions: &BTreeMap<TopicPartition, i64>, reach: Option<Reach>) {
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
        if let Some(reach) = reach {
            let (lsn, complete_to) = (state.reach.lsn.max(reach.lsn), reach.complete_to.or(state.reach.complete_to));
            state.reach = Reach { lsn, complete_to, ..reach };
        }
        drop(state);
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Says that the store's facts up to a write are in: whoever waited for it has seen them applied.
    pub(crate) fn holds(&self, lsn: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.reach.lsn = state.reach.lsn.max(Some(lsn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_woken_sees_up_to_when_all_is_in() {
        let progress = Progress::default();
        let at = BTreeMap::from([(TopicPartition::new("crm.store", 0), 5)]);
        let reach = Reach { lsn: Some(7), lag_records: 1, processing_lag_records: 2, ..Reach::default() };
        let woken = async {
            progress.reached(&at).await;
            progress.as_of()
        };
        let (as_of, ()) = tokio::join!(woken, async { progress.advance(&at, Some(reach)) });
        assert_eq!(as_of.position, Some(Position::Wal(7).to_string()));
        assert_eq!((as_of.lag_records, as_of.processing_lag_records), (1, 2));
        progress.advance(&at, Some(Reach::default()));
        progress.holds(6);
        assert_eq!(progress.as_of().position, Some(Position::Wal(7).to_string()), "a position never goes back");
    }
}
