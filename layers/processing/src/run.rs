//! The loops: read a batch, let a stage work on it, commit offsets, state and records in one step.

use crate::config::ProcessingConfig;
use crate::fold::{Fold, Plan};
use crate::identify::Identify;
use crate::metrics::Counts;
use crate::{ProcessingError, metrics};
use async_trait::async_trait;
use bus::limits::MAX_CALL_BYTES;
use bus::{Bus, BusError, Group, NewRecord, Record, StateChange, Step, TopicPartition};
use contract::Definitions;
use model::topic::{self, FOLD_GROUP, IDENTIFY_GROUP};
use runtime::{Clock, Meter};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait for records; heartbeats and timers must not wait longer.
const IDLE: Duration = Duration::from_millis(200);
/// How often the group is told that this member lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Bytes read from a partition at once.
const FETCH_BYTES: usize = 4 * 1024 * 1024;
/// Longest pause after failures.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Most bytes of a step: half of what the bus takes, so that what an engine adds never matters. A batch that comes to more is
/// worked on again in halves.
const STEP_BYTES: usize = MAX_CALL_BYTES / 2;

/// What a step writes.
#[derive(Debug, Default)]
pub struct Work {
    /// State changes, in order.
    pub state: Vec<StateChange>,
    /// Records, in order.
    pub produce: Vec<NewRecord>,
    /// What the meters are told once it is committed.
    pub counts: Counts,
}

impl Work {
    fn bytes(&self) -> usize {
        let state =
            self.state.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len));
        state.sum::<usize>() + self.produce.iter().map(NewRecord::size).sum::<usize>()
    }
}

/// A stage: everything but the reading and the commit.
#[async_trait]
pub trait Stage: Send {
    /// Kind of its time meter.
    fn name(&self) -> &'static str;

    /// Rank of a topic: topics of a lower rank are read to their end before any record of a higher one is worked on.
    fn rank(&self, topic: &str) -> u8;

    /// Starts afresh from the committed state: at the beginning, after a failed step, after a new assignment.
    async fn assigned(&mut self, bus: &Arc<dyn Bus>, partitions: &[TopicPartition]) -> Result<(), ProcessingError>;

    /// When the stage has work without a record, microseconds since 1970.
    fn due(&self) -> Option<i64>;

    /// Works on a batch, and on at most so many things that are due without a record.
    fn step(&mut self, records: &[Record], now: i64, most: usize) -> Result<Work, ProcessingError>;

    /// The work was committed.
    fn committed(&mut self);
}

/// Runs both stages until told to stop.
///
/// # Errors
/// When a failure does not pass by itself: damaged state, a bad configuration, a missing topic.
pub async fn run(
    config: ProcessingConfig,
    bus: Arc<dyn Bus>,
    definitions: Arc<Definitions>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    stop: CancellationToken,
) -> Result<(), ProcessingError> {
    config.validate(&definitions)?;
    let plan = Plan::new(&definitions, &config);
    let identify = Identify::new(&bus);
    let fold = Fold::new(plan, &bus, config.people_cached);
    let behind = Arc::new(Behind::default());
    let worker = |group, topics| Worker {
        group,
        topics,
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock),
        meter: meter.clone(),
        stop: stop.clone(),
        batch: config.batch_records,
        most: config.batch_records,
        positions: BTreeMap::new(),
        turn: 0,
        unread: None,
        now: i64::MIN,
        behind: Arc::clone(&behind),
    };
    let inputs = topic::identify_inputs().into_iter().chain([topic::CAPTURE_PROGRESS.to_owned()]);
    let mut stages = JoinSet::new();
    stages.spawn(worker(IDENTIFY_GROUP, inputs.collect()).work(identify));
    stages.spawn(worker(FOLD_GROUP, vec![topic::SIGNALS.to_owned()]).work(fold));
    while let Some(ended) = stages.join_next().await {
        // The first failure ends the other stage too: it is dropped with the set.
        ended.map_err(|error| ProcessingError::Died(error.to_string()))??;
    }
    Ok(())
}

/// How far each stage is behind, by its group.
#[derive(Default)]
struct Behind(Mutex<BTreeMap<&'static str, (u64, i64)>>);

impl Behind {
    /// Notes one stage and tells of all: a signal waits for both.
    fn tell(&self, group: &'static str, lag: u64, position: i64, meter: &Meter) {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stages.insert(group, (lag, position));
        meter.lag(stages.values().map(|(lag, _)| lag).sum());
        let shown = stages
            .iter()
            .map(|(group, (lag, at))| format!("{} {at} ({lag} behind)", group.trim_start_matches("processing.")));
        meter.position(shown.collect::<Vec<_>>().join(", "));
    }
}

/// Reads for a stage.
struct Worker {
    group: &'static str,
    topics: Vec<String>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    stop: CancellationToken,
    /// Most records of a step.
    batch: usize,
    /// Most records of the next step: fewer, while steps come out too large.
    most: usize,
    positions: BTreeMap<TopicPartition, i64>,
    turn: usize,
    /// The rank that was not read to its end the last time.
    unread: Option<u8>,
    now: i64,
    behind: Arc<Behind>,
}

impl Worker {
    async fn work<S: Stage>(mut self, mut stage: S) -> Result<(), ProcessingError> {
        let mut failures = 0_u32;
        while !self.stop.is_cancelled() {
            let done = self.member(&mut stage, &mut failures).await;
            match done {
                Ok(()) => {}
                Err(ProcessingError::Bus(BusError::Closed)) if self.stop.is_cancelled() => return Ok(()),
                Err(error) if error.is_retryable() => {
                    self.meter.failed(metrics::STEP, &error.to_string());
                    tracing::warn!(target: "processing", group = self.group, %error, "step failed; trying again");
                    failures = failures.saturating_add(1);
                    let pause = Duration::from_millis(20 << failures.min(8)).min(BACK_OFF_MAX);
                    tokio::select! { () = self.stop.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One membership of the group, until the assignment changes or a step fails.
    async fn member<S: Stage>(&mut self, stage: &mut S, failures: &mut u32) -> Result<(), ProcessingError> {
        let mut group = self.bus.join(self.group, &self.topics).await?;
        self.start(stage, group.as_ref()).await?;
        self.report().await?;
        let mut last_beat = Instant::now();
        while !self.stop.is_cancelled() {
            if last_beat.elapsed() >= HEARTBEAT {
                last_beat = Instant::now();
                if group.heartbeat().await? {
                    self.start(stage, group.as_ref()).await?;
                }
                self.report().await?;
            }
            let records = self.read(stage).await?;
            // The clock never runs back: what was true at a later time must not be undone.
            self.now = self.now.max(self.clock.now().as_microsecond());
            if records.is_empty() && stage.due().is_none_or(|due| due > self.now) {
                self.wait(stage.due()).await?;
                continue;
            }
            self.step(stage, group.as_ref(), &records).await?;
            *failures = 0;
        }
        Ok(())
    }

    /// Takes the positions of the assigned partitions from the group.
    async fn start<S: Stage>(&mut self, stage: &mut S, group: &dyn Group) -> Result<(), ProcessingError> {
        let assignment = group.assignment();
        self.positions.clear();
        for at in &assignment {
            let position = match self.bus.committed(self.group, at).await? {
                Some(position) => position,
                None => self.bus.watermarks(at).await?.low,
            };
            self.positions.insert(at.clone(), position);
        }
        self.unread = None;
        stage.assigned(&self.bus, &assignment).await
    }

    async fn step<S: Stage>(
        &mut self,
        stage: &mut S,
        group: &dyn Group,
        records: &[Record],
    ) -> Result<(), ProcessingError> {
        let started = Instant::now();
        let records = &records[..records.len().min(self.most)];
        let work = stage.step(records, self.now, self.most)?;
        let bytes = work.bytes();
        if bytes > STEP_BYTES && self.most > 1 {
            self.most /= 2;
            tracing::debug!(target: "processing", group = self.group, bytes, most = self.most, "a step is too large; halving it");
            // The stage has worked on what will not be committed.
            return self.start(stage, group).await;
        }
        let mut consumed = BTreeMap::new();
        for record in records {
            consumed.insert(record.at.clone(), record.offset + 1);
        }
        let step = Step {
            group: self.group.to_owned(),
            consumed: consumed.clone().into_iter().collect(),
            state: work.state,
            produce: work.produce,
            generation: Some(group.generation()),
        };
        self.bus.step(step).await?;
        stage.committed();
        work.counts.tell(&self.meter);
        self.positions.extend(consumed);
        self.meter.took(stage.name(), started.elapsed());
        if bytes < STEP_BYTES / 4 {
            self.most = self.most.saturating_mul(2).min(self.batch);
        }
        Ok(())
    }

    async fn wait(&self, due: Option<i64>) -> Result<(), ProcessingError> {
        let until_due = due.map(|due| Duration::from_micros(due.saturating_sub(self.now).max(1_000).cast_unsigned()));
        let at_most = until_due.map_or(IDLE, |until| until.min(IDLE));
        let positions: Vec<(TopicPartition, i64)> =
            self.positions.iter().map(|(at, offset)| (at.clone(), *offset)).collect();
        if positions.is_empty() {
            tokio::select! { () = self.stop.cancelled() => {}, () = tokio::time::sleep(at_most) => {} }
            return Ok(());
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            waited = self.bus.wait(&positions, at_most) => { waited?; }
        }
        Ok(())
    }

    /// A batch: parents before children, so that a record finds what it refers to.
    ///
    /// Children are fetched first and parents after them: a parent is written before its child, so whatever a fetched child refers to
    /// is there when the parents are fetched. If the parents were not read to their end, the children wait for the next turn.
    async fn read<S: Stage>(&mut self, stage: &S) -> Result<Vec<Record>, ProcessingError> {
        let mut ranks: Vec<u8> = self.positions.keys().map(|at| stage.rank(&at.topic)).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.retain(|rank| self.unread.is_none_or(|unread| *rank <= unread));
        self.unread = None;
        let mut batches: Vec<Vec<Record>> = Vec::with_capacity(ranks.len());
        self.turn = self.turn.wrapping_add(1);
        for rank in ranks.into_iter().rev() {
            let (records, to_the_end) = self.fetch_rank(stage, rank).await?;
            if !to_the_end {
                self.unread = Some(rank);
                batches.clear();
            }
            batches.push(records);
        }
        Ok(batches.into_iter().rev().flatten().collect())
    }

    async fn fetch_rank<S: Stage>(&self, stage: &S, rank: u8) -> Result<(Vec<Record>, bool), ProcessingError> {
        let mine: Vec<(&TopicPartition, i64)> = self
            .positions
            .iter()
            .filter(|(at, _)| stage.rank(&at.topic) == rank)
            .map(|(at, from)| (at, *from))
            .collect();
        let (mut records, mut to_the_end) = (Vec::new(), true);
        for i in 0..mine.len() {
            // Another partition goes first each time, so that none starves.
            let (at, from) = mine[(i + self.turn) % mine.len()];
            let room = self.most.saturating_sub(records.len());
            if room == 0 {
                to_the_end = false;
                break;
            }
            let (fetched, high) = self.fetch(at, from, room).await?;
            to_the_end &= fetched.last().is_none_or(|record| record.offset + 1 >= high);
            records.extend(fetched);
        }
        Ok((records, to_the_end))
    }

    async fn fetch(&self, at: &TopicPartition, from: i64, most: usize) -> Result<(Vec<Record>, i64), ProcessingError> {
        let ends = self.bus.watermarks(at).await?;
        if from >= ends.high {
            return Ok((Vec::new(), ends.high));
        }
        if from < ends.low {
            // Retention was faster than we were: say so, and go on with what is left.
            let lost = ends.low - from;
            self.meter.failed(metrics::STEP, &format!("{at}: {lost} records were trimmed before they were read"));
            tracing::error!(target: "processing", partition = %at, lost, "records were trimmed before they were read");
        }
        let records = self.bus.fetch(at, from.max(ends.low), most, FETCH_BYTES).await?;
        Ok((records, ends.high))
    }

    /// Tells how far the stage is behind.
    async fn report(&self) -> Result<(), ProcessingError> {
        let mut lag = 0;
        for (at, position) in &self.positions {
            lag += self.bus.watermarks(at).await?.high.saturating_sub(*position).max(0).unsigned_abs();
        }
        self.behind.tell(self.group, lag, self.positions.values().sum(), &self.meter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{MemoryBus, TopicSpec};
    use bytes::Bytes;
    use runtime::{SystemClock, Telemetry};

    const TOPIC: &str = "in";

    /// Writes a mebibyte of state for each record, and counts it.
    struct Heavy;

    #[async_trait]
    impl Stage for Heavy {
        fn name(&self) -> &'static str {
            metrics::FOLD_STEP
        }

        fn rank(&self, _topic: &str) -> u8 {
            0
        }

        async fn assigned(&mut self, _: &Arc<dyn Bus>, _: &[TopicPartition]) -> Result<(), ProcessingError> {
            Ok(())
        }

        fn due(&self) -> Option<i64> {
            None
        }

        fn step(&mut self, records: &[Record], _now: i64, _most: usize) -> Result<Work, ProcessingError> {
            let mut work = Work::default();
            for record in records {
                let key = record.value.clone().unwrap();
                let value = Some(Bytes::from(vec![0; 1 << 20]));
                work.state.push(StateChange { namespace: "heavy".to_owned(), key, value });
            }
            work.counts.handled.insert(metrics::FOLDED, records.len() as u64);
            Ok(work)
        }

        fn committed(&mut self) {}
    }

    fn worker(bus: &Arc<dyn Bus>, meter: Meter, stop: &CancellationToken) -> Worker {
        Worker {
            group: FOLD_GROUP,
            topics: vec![TOPIC.to_owned()],
            bus: Arc::clone(bus),
            clock: Arc::new(SystemClock),
            meter,
            stop: stop.clone(),
            batch: 1_000,
            most: 1_000,
            positions: BTreeMap::new(),
            turn: 0,
            unread: None,
            now: i64::MIN,
            behind: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_batch_that_comes_to_more_than_a_step_takes_is_done_in_parts_and_counted_once() {
        const RECORDS: i64 = 150;
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
        bus.create_topic(&TopicSpec::new(TOPIC, 1)).await.unwrap();
        let record = |n: i64| NewRecord {
            topic: TOPIC.to_owned(),
            value: Some(Bytes::from(n.to_string())),
            ..NewRecord::default()
        };
        bus.produce((0..RECORDS).map(record).collect()).await.unwrap();
        let (telemetry, stop) = (Telemetry::default(), CancellationToken::new());
        let running = tokio::spawn(worker(&bus, telemetry.meter(model::Layer::Processing), &stop).work(Heavy));
        let (at, deadline) = (TopicPartition::new(TOPIC, 0), Instant::now() + Duration::from_secs(60));
        while bus.committed(FOLD_GROUP, &at).await.unwrap() != Some(RECORDS) {
            assert!(!running.is_finished() && Instant::now() < deadline, "the records are not worked off");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(bus.state_scan("heavy", &[], 1_000).unwrap().len() as i64, RECORDS);
        assert_eq!(telemetry.status()[0].records as i64, RECORDS);
    }

    #[test]
    fn both_stages_count_as_behind() {
        let telemetry = Telemetry::default();
        let (behind, meter) = (Behind::default(), telemetry.meter(model::Layer::Processing));
        behind.tell(IDENTIFY_GROUP, 70, 5, &meter);
        behind.tell(FOLD_GROUP, 0, 3, &meter);
        let status = telemetry.status().remove(0);
        assert_eq!((status.lag, status.position.as_str()), (70, "fold 3 (0 behind), identify 5 (70 behind)"));
    }
}
