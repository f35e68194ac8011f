//! Reading the bus for a loop: which partitions have something, and the next batch of it.

use crate::backlog::{Backlog, time_at};
use crate::batch::Batch;
use crate::freshness::last_lsn;
use crate::{Config, ServingError, mapping, metrics};
use bus::{Bus, Record, TopicPartition};
use model::{Timestamp, topic};
use runtime::Meter;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most records taken from one partition at a time, so that no partition keeps the others waiting.
const PARTITION_RECORDS: usize = 4_000;

/// A loop's place on the bus.
pub(crate) struct Feed<'a> {
    bus: &'a dyn Bus,
    next: BTreeMap<TopicPartition, i64>,
    captured: (TopicPartition, i64, Option<u64>),
    backlog: Backlog,
    /// Where the next round begins, so that a full batch does not always begin with the same partitions.
    turn: usize,
}

/// The next batch, and what the bus had when it was begun.
#[derive(Default)]
pub(crate) struct Taken {
    pub batch: Batch,
    /// All that the bus had is in it.
    pub drained: bool,
    /// The write up to which the store's facts are in it, once it is applied; none unless it is drained.
    pub lsn: Option<u64>,
    /// The time up to which it is complete.
    pub complete_to: Option<Timestamp>,
    /// Records that still wait.
    pub left: u64,
    /// Records that processing has not taken in.
    pub unprocessed: u64,
}

struct Round {
    waiting: Vec<(TopicPartition, i64, i64)>,
    lag: u64,
    lsn: Option<u64>,
}

impl<'a> Feed<'a> {
    /// A place on some topics.
    pub fn new(bus: &'a dyn Bus, topics: &[(String, i32)], positions: &BTreeMap<TopicPartition, i64>) -> Self {
        let partitions =
            topics.iter().flat_map(|(name, count)| (0..*count).map(|number| TopicPartition::new(name.clone(), number)));
        let next =
            partitions.map(|at| (positions.get(&at).copied().unwrap_or(0), at)).map(|(next, at)| (at, next)).collect();
        let captured = (TopicPartition::new(topic::CAPTURE_PROGRESS, 0), 0, None);
        Self { bus, next, captured, backlog: Backlog::new(), turn: 0 }
    }

    /// Next offsets.
    pub const fn positions(&self) -> &BTreeMap<TopicPartition, i64> {
        &self.next
    }

    /// Waits until there is something new.
    pub async fn wait(&self, at_most: Duration) -> Result<(), ServingError> {
        let mut at: Vec<(TopicPartition, i64)> = self.next.iter().map(|(at, next)| (at.clone(), *next)).collect();
        at.push((self.captured.0.clone(), self.captured.1));
        self.bus.wait(&at, at_most).await?;
        Ok(())
    }

    /// Takes the next batch; an empty one when there is nothing.
    pub async fn take(&mut self, config: &Config, began: Timestamp, meter: &Meter) -> Result<Taken, ServingError> {
        let behind = self.backlog.look(self.bus, began).await?;
        let round = self.look().await?;
        let mut budget = (config.batch_records, config.batch_bytes);
        let (mut records, mut left, mut oldest) = (Vec::new(), round.lag, None::<Timestamp>);
        for (at, next, high) in round.waiting {
            let got = if budget.0 == 0 || budget.1 == 0 {
                Vec::new()
            } else {
                self.bus.fetch(&at, next, budget.0.min(PARTITION_RECORDS), budget.1).await?
            };
            left = left.saturating_sub(got.len() as u64);
            budget.0 = budget.0.saturating_sub(got.len());
            let size = |record: &Record| record.value.as_ref().map_or(0, |value| value.len()) + 64;
            budget.1 = budget.1.saturating_sub(got.iter().map(size).sum());
            let reached = got.last().map_or(next, |record| record.offset + 1);
            if reached < high {
                let waits_since = time_at(self.bus, &at, reached).await?.unwrap_or(began);
                oldest = Some(oldest.map_or(waits_since, |oldest| oldest.min(waits_since)));
            }
            self.next.insert(at, reached);
            records.extend(got);
        }
        let drained = oldest.is_none();
        let complete_to = Some(oldest.unwrap_or(began).min(behind.complete_to));
        let batch = fold(records, self.next.clone(), meter.clone()).await?;
        let lsn = round.lsn.filter(|_| drained);
        Ok(Taken { batch, drained, lsn, complete_to, left, unprocessed: behind.records })
    }

    /// Looks at the ends of all partitions. What capture has reached is read first: all of it is below the ends then.
    async fn look(&mut self) -> Result<Round, ServingError> {
        let (at, seen, lsn) = &mut self.captured;
        let ends = self.bus.watermarks(at).await?;
        if ends.high != *seen {
            *lsn = last_lsn(self.bus, at, ends.low, ends.high).await?.or(*lsn);
            *seen = ends.high;
        }
        let mut round = Round { waiting: Vec::new(), lag: 0, lsn: self.captured.2 };
        for (at, next) in &mut self.next {
            let ends = self.bus.watermarks(at).await?;
            if *next > ends.high {
                return Err(ServingError::Foreign { at: at.to_string(), served: *next, bus: ends.high });
            }
            if *next < ends.low {
                tracing::warn!(target: "serving", partition = %at, from = *next, to = ends.low, "records were trimmed unread");
                *next = ends.low;
            }
            if ends.high > *next {
                round.lag += ends.high.abs_diff(*next);
                round.waiting.push((at.clone(), *next, ends.high));
            }
        }
        if !round.waiting.is_empty() {
            self.turn = (self.turn + 1) % round.waiting.len();
            round.waiting.rotate_left(self.turn);
        }
        Ok(round)
    }
}

/// Maps and folds, away from the threads that wait for the network.
async fn fold(records: Vec<Record>, next: BTreeMap<TopicPartition, i64>, meter: Meter) -> Result<Batch, ServingError> {
    let work = move || {
        let mut batch = Batch::default();
        for record in records {
            match mapping::map(&record) {
                Ok(mapped) => {
                    batch.count(mapped.received_at);
                    if let Some(op) = mapped.op {
                        batch.push(op);
                    }
                }
                Err(error) => {
                    tracing::error!(target: "serving", %error, "a record was left out");
                    meter.failed(metrics::UNMAPPED, &error.to_string());
                    batch.count(None);
                }
            }
            batch.reach(&record.at, next.get(&record.at).copied().unwrap_or(record.offset + 1));
        }
        batch
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ServingError::Store(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{MemoryBus, NewRecord, TopicSpec};

    async fn bus_with(records: Vec<NewRecord>) -> MemoryBus {
        let bus = MemoryBus::new();
        for (name, partitions) in topic::all() {
            bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
        }
        bus.produce(records).await.unwrap();
        bus
    }

    fn store(partition: i32, timestamp_ms: i64) -> NewRecord {
        let topic = topic::crm("audit_log");
        NewRecord { topic, partition: Some(partition), timestamp_ms, value: Some("{}".into()), ..NewRecord::default() }
    }

    #[tokio::test]
    async fn what_waits_behind_a_full_batch_tells_the_time() {
        let bus = bus_with(vec![store(0, 1_000), store(1, 2_000), store(1, 3_000)]).await;
        let meter = runtime::Telemetry::default().meter(model::Layer::Serving);
        let config = Config { batch_records: 1, ..Config::default() };
        let mut feed = Feed::new(&bus, &[(topic::crm("audit_log"), 4)], &BTreeMap::new());
        let now = Timestamp::from_millisecond(9_000).unwrap();
        let mut told = Vec::new();
        for _ in 0..4 {
            let taken = feed.take(&config, now, &meter).await.unwrap();
            told.push((taken.complete_to.unwrap().as_millisecond(), taken.left));
        }
        // Whichever partition comes first, nothing is complete beyond what waits in the other.
        assert!(told[0] == (1_000, 2) || told[0] == (2_000, 2), "{told:?}");
        assert_eq!(told[2..], [(9_000, 0), (9_000, 0)], "{told:?}");
        assert!(told[1].0 <= 3_000, "{told:?}");
    }

    #[tokio::test]
    async fn positions_beyond_the_bus_are_of_another_deployment() {
        let bus = bus_with(vec![store(0, 1)]).await;
        let meter = runtime::Telemetry::default().meter(model::Layer::Serving);
        let at = TopicPartition::new(topic::crm("audit_log"), 0);
        let mut feed = Feed::new(&bus, &[(topic::crm("audit_log"), 4)], &BTreeMap::from([(at, 7)]));
        let error = feed.take(&Config::default(), Timestamp::UNIX_EPOCH, &meter).await.err().unwrap();
        assert!(matches!(error, ServingError::Foreign { served: 7, bus: 1, .. }) && !error.is_retryable(), "{error}");
    }
}
