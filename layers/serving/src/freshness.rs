//! Freshness: how long signals take to be served, and reads that wait for a write.

use crate::{Progress, ServingError, mapping};
use bus::{Bus, TopicPartition};
use model::topic::{FOLD_GROUP, IDENTIFY_GROUP};
use model::{Position, topic};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Samples kept of each kind: the recent past.
const SAMPLES: usize = 200_000;
/// Time between two looks at what a group has committed; the bus tells nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// Percentiles of the recent past, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Percentiles {
    /// Half of the signals were served within this.
    pub p50_ms: f64,
    /// 99 of 100 signals were served within this.
    pub p99_ms: f64,
    /// Signals that it is made of.
    pub samples: usize,
}

/// Freshness of both shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// From receipt of a signal to its row in SQL.
    pub sql: Percentiles,
    /// From receipt of a signal to its person's profile.
    pub profile: Percentiles,
}

/// Which shape a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// SQL.
    Analytics,
    /// Profiles.
    Profiles,
}

/// Keeps the last samples of both shapes.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    samples: Arc<[Mutex<VecDeque<u32>>; 2]>,
    waiting: Arc<[AtomicU64; 2]>,
}

impl Freshness {
    /// Takes samples, microseconds each.
    pub fn record(&self, shape: Shape, micros: impl Iterator<Item = i64>) {
        let mut samples = self.of(shape).lock().unwrap_or_else(PoisonError::into_inner);
        for sample in micros {
            if samples.len() == SAMPLES {
                samples.pop_front();
            }
            samples.push_back(u32::try_from(sample.max(0)).unwrap_or(u32::MAX));
        }
    }

    /// Takes the number of records that wait for a shape, and returns how many wait for the one that is further behind.
    pub(crate) fn waits(&self, shape: Shape, records: u64) -> u64 {
        let [analytics, profiles] = &*self.waiting;
        let (own, other) = if shape == Shape::Analytics { (analytics, profiles) } else { (profiles, analytics) };
        own.store(records, Ordering::Relaxed);
        records.max(other.load(Ordering::Relaxed))
    }

    /// Percentiles of the recent past.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary { sql: self.percentiles(Shape::Analytics), profile: self.percentiles(Shape::Profiles) }
    }

    /// Forgets all samples: a measurement begins.
    pub fn reset(&self) {
        for shape in [Shape::Analytics, Shape::Profiles] {
            self.of(shape).lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn of(&self, shape: Shape) -> &Mutex<VecDeque<u32>> {
        let [analytics, profiles] = &*self.samples;
        if shape == Shape::Analytics { analytics } else { profiles }
    }

    fn percentiles(&self, shape: Shape) -> Percentiles {
        let mut sorted: Vec<u32> =
            self.of(shape).lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        sorted.sort_unstable();
        let at = |share: usize| {
            let place = (sorted.len() * share).div_ceil(100).saturating_sub(1);
            sorted.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Percentiles { p50_ms: at(50), p99_ms: at(99), samples: sorted.len() }
    }
}

/// Waits until what a token stands for is served by a loop: the fact or event itself, and what processing derives of it.
///
/// # Errors
/// [`ServingError::NotYet`] when the time is up; whatever the bus says otherwise.
pub async fn await_token(
    bus: &dyn Bus,
    progress: &Progress,
    token: &Position,
    at_most: Duration,
) -> Result<(), ServingError> {
    let deadline = Instant::now() + at_most;
    let reach = chain(bus, progress, token, deadline);
    match tokio::time::timeout_at(deadline, reach).await {
        Ok(result) => result,
        Err(_) => Err(ServingError::NotYet(format!(
            "`at_least` was not reached within {} ms; ask again, or with a longer wait_ms",
            at_most.as_millis()
        ))),
    }
}

type Ends = BTreeMap<TopicPartition, i64>;

async fn chain(bus: &dyn Bus, progress: &Progress, token: &Position, deadline: Instant) -> Result<(), ServingError> {
    let inputs = match token {
        Position::Wal(lsn) => {
            captured(bus, *lsn, deadline).await?;
            ends(bus, |name| name.starts_with("crm.")).await?
        }
        Position::Events(offsets) => {
            let partitions =
                topic::all().into_iter().find(|(name, _)| name == topic::EVENTS).map_or(0, |(_, count)| count);
            if offsets.keys().any(|partition| !(0..partitions).contains(partition)) {
                return Err(ServingError::Request("`at_least` is not a position token of this deployment".to_owned()));
            }
            let end = |(partition, offset): (&i32, &i64)| {
                (TopicPartition::new(topic::EVENTS, *partition), offset.saturating_add(1))
            };
            offsets.iter().map(end).collect()
        }
    };
    progress.reached(&inputs).await;
    if let Position::Wal(lsn) = token {
        progress.holds(*lsn);
    }
    let processed = topic::identify_inputs();
    let inputs = inputs.into_iter().filter(|(at, _)| processed.contains(&at.topic)).collect();
    committed(bus, IDENTIFY_GROUP, &inputs).await?;
    folded(bus).await?;
    let derived = ends(bus, |name| name.starts_with("derived.")).await?;
    progress.reached(&derived).await;
    Ok(())
}

/// Waits until capture says that everything up to a log position is on the bus.
async fn captured(bus: &dyn Bus, lsn: u64, deadline: Instant) -> Result<(), ServingError> {
    let at = TopicPartition::new(topic::CAPTURE_PROGRESS, 0);
    loop {
        let ends = bus.watermarks(&at).await?;
        if last_lsn(bus, &at, ends.low, ends.high).await?.is_some_and(|last| last >= lsn) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        bus.wait(&[(at.clone(), ends.high)], left.max(Duration::from_millis(1))).await?;
    }
}

/// The log position of the last record of `capture.progress`.
pub(crate) async fn last_lsn(
    bus: &dyn Bus,
    at: &TopicPartition,
    low: i64,
    high: i64,
) -> Result<Option<u64>, ServingError> {
    #[derive(Deserialize)]
    struct Captured {
        lsn: u64,
    }
    if high <= low {
        return Ok(None);
    }
    let records = bus.fetch(at, high - 1, 1, 4096).await?;
    let value = records.first().and_then(|record| record.value.as_ref());
    Ok(value.and_then(|value| serde_json::from_slice::<Captured>(value).ok()).map(|captured| captured.lsn))
}

async fn ends(bus: &dyn Bus, of: impl Fn(&str) -> bool) -> Result<Ends, ServingError> {
    let mut ends = Ends::new();
    for (name, partitions) in topic::all().into_iter().filter(|(name, _)| of(name)) {
        for partition in 0..partitions {
            let at = TopicPartition::new(name.clone(), partition);
            let high = bus.watermarks(&at).await?.high;
            if high > 0 {
                ends.insert(at, high);
            }
        }
    }
    Ok(ends)
}

/// Waits until all signals of now are folded, and what their folding hands over to other people, however often it moves on.
async fn folded(bus: &dyn Bus) -> Result<(), ServingError> {
    let signals = async || ends(bus, |name| name == topic::SIGNALS).await;
    let mut seen = signals().await?;
    loop {
        committed(bus, FOLD_GROUP, &seen).await?;
        let now = signals().await?;
        let mut moves = false;
        for (at, end) in &now {
            let from = seen.get(at).copied().unwrap_or(0);
            moves |= hands_over(bus, at, from, *end).await?;
        }
        if !moves {
            return Ok(());
        }
        seen = now;
    }
}

/// Whether signals of a range hand state over.
async fn hands_over(bus: &dyn Bus, at: &TopicPartition, mut from: i64, end: i64) -> Result<bool, ServingError> {
    while from < end {
        let records = bus.fetch(at, from, 1_000, 1 << 20).await?;
        let Some(last) = records.last() else { return Ok(false) };
        from = last.offset + 1;
        let mut values = records.iter().filter(|record| record.offset < end).filter_map(|record| record.value.as_ref());
        if values.any(|value| mapping::is_handover(value)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits until a group has committed up to the ends of what it reads.
async fn committed(bus: &dyn Bus, group: &str, ends: &Ends) -> Result<(), ServingError> {
    for (at, end) in ends {
        while bus.committed(group, at).await?.unwrap_or(0) < *end {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_recent_past() {
        let freshness = Freshness::default();
        assert_eq!(freshness.summary(), Summary::default());
        freshness.record(Shape::Analytics, (1..=100).map(|ms| ms * 1000));
        freshness.record(Shape::Profiles, [-5].into_iter());
        let summary = freshness.summary();
        assert_eq!((summary.sql.p50_ms, summary.sql.p99_ms, summary.sql.samples), (50.0, 99.0, 100));
        assert_eq!(summary.profile.p99_ms, 0.0);
        let waits = [(Shape::Analytics, 3), (Shape::Profiles, 9), (Shape::Analytics, 0), (Shape::Profiles, 0)];
        assert_eq!(waits.map(|(shape, records)| freshness.waits(shape, records)), [3, 9, 9, 0]);
        freshness.record(Shape::Analytics, std::iter::repeat_n(7000, SAMPLES));
        assert_eq!(freshness.summary().sql, Percentiles { p50_ms: 7.0, p99_ms: 7.0, samples: SAMPLES });
    }
}
