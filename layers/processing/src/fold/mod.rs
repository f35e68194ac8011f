//! Stage `fold`: keeps what is known of each person and says what changed.

mod apply;
mod carts;
mod handover;
mod past;
mod people;
mod person;
mod plan;
mod settle;
mod sweep;
mod timers;
mod values;
mod visits;

#[cfg(test)]
mod tests;

pub use plan::Plan;

use crate::ProcessingError;
use crate::incoming::{Body, Signal};
use crate::metrics;
use crate::run::{Stage, Work};
use apply::{Effects, apply};
use async_trait::async_trait;
use bus::{Bus, NewRecord, Record, TopicPartition};
use bytes::Bytes;
use model::ids::PersonId;
use model::signal::Cause;
use model::topic;
use people::People;
use serde::Serialize;
use settle::{Output, settle};
use std::collections::HashMap;
use std::sync::Arc;
use sweep::Sweep;
use timers::Timers;

/// The stage.
pub struct Fold {
    bus: Arc<dyn Bus>,
    plan: Arc<Plan>,
    people: People,
    timers: Timers,
    sweep: Sweep,
}

/// What a step is about to write.
#[derive(Default)]
struct Batch {
    /// People that signals or timers touched, with the last cause.
    touched: HashMap<Arc<str>, Option<Cause>>,
    effects: Effects,
    failed: u64,
    /// Signals that somebody is too large for.
    oversize: u64,
    work: Work,
}

impl Fold {
    /// A fold without people in memory.
    pub fn new(plan: Arc<Plan>, bus: &Arc<dyn Bus>, people_cached: usize) -> Self {
        let people = People::new(Arc::clone(bus), people_cached);
        Self { bus: Arc::clone(bus), plan, people, timers: Timers::default(), sweep: Sweep::default() }
    }

    fn take_in(&mut self, record: &Record, batch: &mut Batch) -> Result<(), ProcessingError> {
        let Some(value) = &record.value else { return Ok(()) };
        let signal: Signal<'_> = match serde_json::from_slice(value) {
            Ok(signal) => signal,
            Err(error) => {
                batch.work.counts.fail(metrics::UNREADABLE, crate::incoming::unreadable(record, &error));
                return Ok(());
            }
        };
        let grows = !matches!(signal.body, Body::Detach { .. } | Body::Forget { .. });
        if grows && !self.people.grow(&signal.person.0, value.len())? {
            batch.oversize += 1;
            return Ok(());
        }
        let (id, person) = self.people.get(&signal.person.0)?;
        let cause = signal.cause.clone();
        apply(person, signal, &self.plan, &mut batch.effects)?;
        batch.touched.insert(id, Some(cause));
        Ok(())
    }

    fn settle_all(&mut self, batch: &mut Batch, now: i64) -> Result<(), ProcessingError> {
        let mut touched: Vec<_> = std::mem::take(&mut batch.touched).into_iter().collect();
        touched.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (id, cause) in touched {
            let (id, person) = self.people.get(&id)?;
            let due_before = person.told.due;
            let person_id = PersonId(id.to_string());
            let outputs = settle(&person_id, person, &self.plan, now, cause.as_ref(), &mut batch.failed);
            self.timers.change(&id, due_before, person.told.due, &mut batch.work.state);
            batch.work.state.push(self.people.encode(&id)?);
            for output in &outputs {
                write(output, &mut batch.work.produce);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Stage for Fold {
    fn name(&self) -> &'static str {
        metrics::FOLD_STEP
    }

    fn rank(&self, _topic: &str) -> u8 {
        0
    }

    async fn assigned(&mut self, bus: &Arc<dyn Bus>, partitions: &[TopicPartition]) -> Result<(), ProcessingError> {
        self.people.clear();
        self.sweep = Sweep::load(bus.as_ref(), partitions, self.plan.fingerprint)?;
        self.timers.load(bus, partitions)
    }

    fn due(&self) -> Option<i64> {
        if self.sweep.is_done() { self.timers.first() } else { Some(i64::MIN) }
    }

    fn step(&mut self, records: &[Record], now: i64, most: usize) -> Result<Work, ProcessingError> {
        let mut batch = Batch::default();
        for record in records {
            self.take_in(record, &mut batch)?;
        }
        let due = self.timers.due(now, most);
        batch.work.counts.count(metrics::TIMER, due.len() as u64);
        for id in due {
            batch.touched.entry(id).or_default();
        }
        for id in self.sweep.next(self.bus.as_ref(), most, &mut batch.work.state)? {
            let (id, person) = self.people.get(&id)?;
            if person.told.plan != 0 && person.told.plan != self.plan.fingerprint {
                batch.touched.entry(id).or_default();
            }
        }
        self.settle_all(&mut batch, now)?;
        for signal in &batch.effects.send {
            batch.work.produce.push(record(topic::SIGNALS, &signal.person.0, Some(signal)));
        }
        let counts = &mut batch.work.counts;
        counts.handled.insert(metrics::FOLDED, records.len() as u64);
        counts.count(metrics::LATE, batch.effects.late);
        counts.count(metrics::RULE, batch.failed);
        if batch.effects.past > 0 {
            let words = "of a trace with very many orders, some are too old to be corrected; what came for them was not counted";
            counts.fail(metrics::PAST, format!("{words}: {}", batch.effects.past));
        }
        if batch.oversize > 0 {
            let words =
                "somebody's state is too large, as when all visitors share a user id; signals that were not folded";
            counts.fail(metrics::OVERSIZE, format!("{words}: {}", batch.oversize));
        }
        Ok(batch.work)
    }

    fn committed(&mut self) {
        self.people.trim();
    }
}

/// A record whose value is JSON; none is a tombstone.
pub fn record<T: Serialize>(topic: &str, key: &str, value: Option<&T>) -> NewRecord {
    // Our records are structs of texts and numbers: they always have a JSON form.
    let value = value.map(|value| Bytes::from(serde_json::to_vec(value).unwrap_or_default()));
    let key = Some(Bytes::copy_from_slice(key.as_bytes()));
    NewRecord { topic: topic.to_owned(), key, value, ..NewRecord::default() }
}

fn write(output: &Output, produce: &mut Vec<NewRecord>) {
    match output {
        Output::Features(value) => produce.push(record(topic::FEATURES, &value.person.0, Some(value))),
        Output::Tags(value) => produce.push(record(topic::TAGS, &value.person.0, Some(value))),
        Output::Cohorts(value) => produce.push(record(topic::COHORTS, &value.person.0, Some(value))),
        Output::Intent(value) => produce.push(record(topic::INTENTS, &value.intent_id.to_string(), Some(value))),
        Output::Session(value) => produce.push(record(topic::SESSIONS, &value.session_id.to_string(), Some(value))),
        Output::SessionGone(id) => produce.push(record::<()>(topic::SESSIONS, &id.to_string(), None)),
        Output::Gone(person) => {
            for topic in [topic::FEATURES, topic::TAGS, topic::COHORTS] {
                produce.push(record::<()>(topic, &person.0, None));
            }
        }
    }
}
