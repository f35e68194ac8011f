//! The loops: read a batch, let a stage work on it, commit offsets, state and records in one step.

use crate::config::ProcessingConfig;
use crate::fold::{Fold, Plan};
use crate::identify::Identify;
use crate::{ProcessingError, metrics};
use async_trait::async_trait;
use bus::{Bus, BusError, Group, NewRecord, Record, StateChange, Step, TopicPartition};
use contract::Definitions;
use model::topic;
use runtime::{Clock, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Consumer group of the stage `identify`.
pub const IDENTIFY_GROUP: &str = "processing.identify";
/// Consumer group of the stage `fold`.
pub const FOLD_GROUP: &str = "processing.fold";

/// Longest wait for records; heartbeats and timers must not wait longer.
const IDLE: Duration = Duration::from_millis(200);
/// How often the group is told that this member lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Bytes read from a partition at once.
const FETCH_BYTES: usize = 4 * 1024 * 1024;
/// Longest pause after failures.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What a step writes.
#[derive(Debug, Default)]
pub struct Work {
    /// State changes, in order.
    pub state: Vec<StateChange>,
    /// Records, in order.
    pub produce: Vec<NewRecord>,
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

    /// Works on a batch.
    fn step(&mut self, records: &[Record], now: i64) -> Result<Work, ProcessingError>;

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
    config.validate()?;
    let plan = Plan::new(&definitions, &config);
    let identify = Identify::new(&bus, meter.clone());
    let fold = Fold::new(plan, &bus, config.people_cached, meter.clone());
    let worker = |group, topics| Worker {
        group,
        topics,
        bus: Arc::clone(&bus),
        clock: Arc::clone(&clock),
        meter: meter.clone(),
        stop: stop.clone(),
        batch: config.batch_records,
        positions: BTreeMap::new(),
        turn: 0,
        behind: None,
        now: i64::MIN,
    };
    let first = worker(IDENTIFY_GROUP, topic::identify_inputs()).work(identify);
    let second = worker(FOLD_GROUP, vec![topic::SIGNALS.to_owned()]).work(fold);
    tokio::try_join!(Box::pin(first), Box::pin(second)).map(|_| ())
}

/// Reads for a stage.
struct Worker {
    group: &'static str,
    topics: Vec<String>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    stop: CancellationToken,
    batch: usize,
    positions: BTreeMap<TopicPartition, i64>,
    turn: usize,
    /// The rank that was not read to its end the last time.
    behind: Option<u8>,
    now: i64,
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
        self.behind = None;
        stage.assigned(&self.bus, &assignment).await
    }

    async fn step<S: Stage>(
        &mut self,
        stage: &mut S,
        group: &dyn Group,
        records: &[Record],
    ) -> Result<(), ProcessingError> {
        let started = Instant::now();
        let work = stage.step(records, self.now)?;
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
        self.positions.extend(consumed);
        self.meter.took(stage.name(), started.elapsed());
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
        ranks.retain(|rank| self.behind.is_none_or(|behind| *rank <= behind));
        self.behind = None;
        let mut batches: Vec<Vec<Record>> = Vec::with_capacity(ranks.len());
        self.turn = self.turn.wrapping_add(1);
        for rank in ranks.into_iter().rev() {
            let (records, to_the_end) = self.fetch_rank(stage, rank).await?;
            if !to_the_end {
                self.behind = Some(rank);
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
            let room = self.batch.saturating_sub(records.len());
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
        if self.group == FOLD_GROUP {
            self.meter.lag(lag);
            self.meter.position(format!("signals {}", self.positions.values().sum::<i64>()));
        }
        Ok(())
    }
}
