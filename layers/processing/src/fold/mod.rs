//! Stage `fold`: keeps what is known of each person and says what changed.

mod apply;
mod carts;
mod people;
mod person;
mod plan;
mod settle;
mod timers;
mod values;
mod visits;

#[cfg(test)]
mod tests;

pub use plan::Plan;

use crate::ProcessingError;
use crate::incoming::Signal;
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
use runtime::Meter;
use serde::Serialize;
use settle::{Output, settle};
use std::collections::HashMap;
use std::sync::Arc;
use timers::Timers;

/// Timers that go off in one step.
const DUE_MAX: usize = 4_000;

/// The stage.
pub struct Fold {
    plan: Arc<Plan>,
    meter: Meter,
    people: People,
    timers: Timers,
}

/// What a step is about to write.
#[derive(Default)]
struct Batch {
    /// People that signals or timers touched, with the last cause.
    touched: HashMap<Arc<str>, Option<Cause>>,
    effects: Effects,
    failed: u64,
    work: Work,
}

impl Fold {
    /// A fold without people in memory.
    pub fn new(plan: Arc<Plan>, bus: &Arc<dyn Bus>, people_cached: usize, meter: Meter) -> Self {
        let people = People::new(Arc::clone(bus), people_cached);
        Self { plan, meter, people, timers: Timers::default() }
    }

    fn take_in(&mut self, record: &Record, batch: &mut Batch) -> Result<(), ProcessingError> {
        let Some(value) = &record.value else { return Ok(()) };
        let signal: Signal<'_> = match serde_json::from_slice(value) {
            Ok(signal) => signal,
            Err(error) => {
                self.meter.failed(metrics::UNREADABLE, &crate::incoming::unreadable(record, &error));
                return Ok(());
            }
        };
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
            batch.work.state.push(people::change(&id, person.encode()?));
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
        self.timers.load(bus, partitions)
    }

    fn due(&self) -> Option<i64> {
        self.timers.first()
    }

    fn step(&mut self, records: &[Record], now: i64) -> Result<Work, ProcessingError> {
        let mut batch = Batch::default();
        for record in records {
            self.take_in(record, &mut batch)?;
        }
        let due = self.timers.due(now, DUE_MAX);
        self.meter.count(metrics::TIMER, due.len() as u64);
        for id in due {
            batch.touched.entry(id).or_default();
        }
        self.settle_all(&mut batch, now)?;
        for signal in &batch.effects.send {
            batch.work.produce.push(record(topic::SIGNALS, &signal.person.0, Some(signal)));
        }
        self.meter.handled(metrics::FOLDED, records.len() as u64);
        self.meter.count(metrics::LATE, batch.effects.late);
        if batch.failed > 0 {
            self.meter.count(metrics::RULE, batch.failed);
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
