//! The gateway at work: makes events durable, and follows the write keys.

use crate::canonical::{Canonicaliser, Receipt, Rejection};
use crate::key::KeyTable;
use crate::room::Room;
use crate::wire::{Call, Sent};
use crate::{Config, Error, Refusal, metrics, quarantine};
use bus::limits::MAX_RECORD_BYTES;
use bus::{Bus, BusError, NewRecord, Placed, TopicPartition};
use bytes::Bytes;
use contract::events::Registry;
use model::behaviour::BehaviourEvent;
use model::{Change, Position, Timestamp, Tokeniser, topic};
use runtime::{Clock, Meter};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Events canonicalised before other tasks get a turn.
const EVENTS_A_TURN: usize = 128;
/// Records fetched at once while write keys are followed.
const FETCH_RECORDS: usize = 1_000;
/// Bytes fetched at once.
const FETCH_BYTES: usize = 1 << 20;
/// Longest wait for a change of the write keys before looking again.
const WAIT: Duration = Duration::from_secs(5);
/// First pause after a failure of the bus; doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Last pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What became of a request's events, once that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Events on `behaviour.events`.
    pub accepted: usize,
    /// Events in quarantine.
    pub rejected: usize,
    /// Where the accepted ones stand, for reads that wait for them; none when there are none.
    pub position: Option<Position>,
}

/// The gateway. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    bus: Arc<dyn Bus>,
    canonicaliser: Canonicaliser,
    clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    keys: RwLock<KeyTable>,
    ready: AtomicBool,
    pub(crate) in_flight: Arc<Semaphore>,
}

impl Gateway {
    /// A gateway; it refuses everything until [`Self::follow_write_keys`] has caught up once.
    #[must_use]
    pub fn new(
        config: Config,
        bus: Arc<dyn Bus>,
        tokeniser: Tokeniser,
        contracts: Arc<Registry>,
        clock: Arc<dyn Clock>,
        meter: Meter,
    ) -> Self {
        let in_flight = config.in_flight_bytes_max.min(Semaphore::MAX_PERMITS);
        let inner = Inner {
            canonicaliser: Canonicaliser::new(config.clone(), tokeniser, contracts),
            bus,
            clock,
            meter,
            keys: RwLock::default(),
            ready: AtomicBool::new(false),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether all write keys of the store are known, so that requests are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
    }

    /// The source that a write key stands for.
    pub(crate) fn source(&self, key: &str) -> Option<Arc<str>> {
        self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).source(key)
    }

    /// Canonicalises the events of a request and makes them durable, good and bad ones together.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there is no room for the records; [`Refusal::Bus`] when they are not durable; then nothing is
    /// acknowledged, and the sender repeats.
    pub(crate) async fn accept(
        &self,
        call: Call,
        sent: &Sent<'_>,
        source: &str,
        room: &mut Room,
    ) -> Result<Accepted, Refusal> {
        let started = Instant::now();
        let inner = &*self.inner;
        let received = inner.clock.now();
        let receipt = Receipt {
            call,
            sent_at: sent.sent_at.as_ref(),
            context: sent.context.as_ref(),
            received,
            source,
            new_id: || uuid::Uuid::now_v7().to_string(),
        };
        let mut records = Vec::with_capacity(sent.events.len());
        let mut rejected = Vec::new();
        for turn in sent.events.chunks(EVENTS_A_TURN) {
            let mut bytes = 0;
            for raw in turn {
                let event = inner.canonicaliser.event(raw.get(), &receipt);
                let (into, record) = match event.and_then(|event| event_record(&event, raw, received)) {
                    Ok(record) => (&mut records, record),
                    Err(rejection) => (&mut rejected, quarantine::record(raw, sent.context_text, *rejection, &receipt)),
                };
                bytes += record.size();
                into.push(record);
            }
            // A short event in a batch with a shared context becomes a record many times its size.
            room.grow(bytes)?;
            tokio::task::yield_now().await;
        }
        let (accepted, refused) = (records.len(), rejected.len());
        records.append(&mut rejected);
        let placed = self.produce(records).await?;
        let position = position(placed.get(..accepted).unwrap_or_default());
        inner.meter.handled(metrics::EVENTS, accepted as u64);
        if refused > 0 {
            inner.meter.count(metrics::REJECTED, refused as u64);
        }
        inner.meter.took(metrics::ACCEPT, started.elapsed());
        Ok(Accepted { accepted, rejected: refused, position })
    }

    async fn produce(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, Refusal> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let time = Duration::from_millis(self.inner.config.produce_time_max_ms);
        match tokio::time::timeout(time, self.inner.bus.produce(records)).await {
            Ok(Ok(placed)) => Ok(placed),
            Ok(Err(error)) => {
                tracing::warn!(target: "gateway", %error, "events were not made durable");
                self.inner.meter.failed(metrics::PRODUCE, &error.to_string());
                Err(Refusal::Bus)
            }
            Err(_) => {
                self.inner.meter.failed(metrics::PRODUCE, "the bus took too long");
                Err(Refusal::Bus)
            }
        }
    }

    /// Follows the write keys on the bus until told to stop: reads them from the start, then waits for changes.
    ///
    /// # Errors
    /// When the bus is closed, or can do no more, for good. Other failures are retried.
    pub async fn follow_write_keys(&self, stop: CancellationToken) -> Result<(), Error> {
        let mut next = BTreeMap::new();
        let mut pause = PAUSE_MIN;
        loop {
            let turn = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                turn = self.turn(&mut next) => turn,
            };
            match turn {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    continue;
                }
                Err(BusError::Closed) if stop.is_cancelled() => return Ok(()),
                Err(error @ (BusError::Closed | BusError::Poisoned(_))) => return Err(error.into()),
                // Capture makes the topic when it starts.
                Err(BusError::UnknownTopic(_)) => {}
                Err(error) => {
                    tracing::warn!(target: "gateway", %error, "write keys cannot be followed now; trying again");
                    self.inner.meter.failed(metrics::WRITE_KEYS, &error.to_string());
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    async fn turn(&self, next: &mut BTreeMap<i32, i64>) -> Result<(), BusError> {
        // A key that the first snapshot has not reached yet is no unknown key.
        if self.is_ready() || self.is_captured().await? {
            self.catch_up(next).await?;
            self.inner.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether a whole snapshot of the store is on the bus. Where there is none, waits first for capture to say more.
    async fn is_captured(&self) -> Result<bool, BusError> {
        /// What capture says: 0 before its first snapshot is complete.
        #[derive(Deserialize)]
        struct Captured {
            lsn: u64,
        }
        let at = TopicPartition::new(topic::CAPTURE_PROGRESS, 0);
        let bus = &self.inner.bus;
        let ends = bus.watermarks(&at).await?;
        if ends.high > ends.low {
            let last = bus.fetch(&at, ends.high - 1, 1, FETCH_BYTES).await?;
            let value = last.first().and_then(|record| record.value.as_ref());
            let captured = value.and_then(|value| serde_json::from_slice::<Captured>(value).ok());
            if captured.is_some_and(|captured| captured.lsn > 0) {
                return Ok(true);
            }
        } else if ends.high > 0 {
            // Nothing was said for longer than the topic keeps it: the snapshot is long over.
            return Ok(true);
        }
        bus.wait(&[(at, ends.high)], WAIT).await?;
        Ok(false)
    }

    /// Reads what there is of the write keys. Waits first when everything was read before.
    async fn catch_up(&self, next: &mut BTreeMap<i32, i64>) -> Result<(), BusError> {
        let bus = &self.inner.bus;
        let name = topic::crm("write_key");
        if next.is_empty() {
            let topics = bus.topics().await?;
            let spec = topics.into_iter().find(|spec| spec.name == name).ok_or(BusError::UnknownTopic(name.clone()))?;
            let mut starts = BTreeMap::new();
            for partition in 0..spec.partitions {
                let low = bus.watermarks(&TopicPartition::new(&name, partition)).await?.low;
                starts.insert(partition, low);
            }
            *next = starts;
        } else if self.is_ready() {
            let positions: Vec<_> =
                next.iter().map(|(&partition, &offset)| (TopicPartition::new(&name, partition), offset)).collect();
            bus.wait(&positions, WAIT).await?;
        }
        for (&partition, offset) in next.iter_mut() {
            let at = TopicPartition::new(&name, partition);
            loop {
                let records = match bus.fetch(&at, *offset, FETCH_RECORDS, FETCH_BYTES).await {
                    Err(BusError::OffsetOutOfRange { low, .. }) if low != *offset => {
                        *offset = low;
                        continue;
                    }
                    other => other?,
                };
                let Some(last) = records.last() else { break };
                *offset = last.offset + 1;
                self.learn(partition, records.iter().filter_map(|record| record.value.as_ref()));
            }
        }
        Ok(())
    }

    fn learn<'a>(&self, partition: i32, values: impl Iterator<Item = &'a Bytes>) {
        let mut keys = self.inner.keys.write().unwrap_or_else(PoisonError::into_inner);
        for value in values {
            let known = serde_json::from_slice::<Change>(value).is_ok_and(|change| keys.apply(partition, &change));
            if !known {
                tracing::warn!(target: "gateway", "a change of the write keys makes no sense and is passed over");
                self.inner.meter.failed(metrics::WRITE_KEYS, "a change of the write keys makes no sense");
            }
        }
    }
}

fn event_record(event: &BehaviourEvent, raw: &RawValue, received: Timestamp) -> Result<NewRecord, Box<Rejection>> {
    let key = event.anonymous_id.as_ref().or(event.user_id.as_ref());
    let mut value = Vec::with_capacity(raw.get().len() + 256);
    // Writing strings and maps with text keys into memory cannot fail.
    let written = serde_json::to_writer(&mut value, event);
    debug_assert!(written.is_ok(), "an event is JSON");
    let record = record(topic::EVENTS, key.map(|key| Bytes::copy_from_slice(key.as_bytes())), value, received);
    if record.size() > MAX_RECORD_BYTES {
        return Err(Box::new(Rejection::grown(key.cloned())));
    }
    Ok(record)
}

pub(crate) fn record(topic: &str, key: Option<Bytes>, value: Vec<u8>, received: Timestamp) -> NewRecord {
    NewRecord {
        topic: topic.to_owned(),
        partition: None,
        key,
        value: Some(value.into()),
        headers: Vec::new(),
        timestamp_ms: received.as_millisecond(),
    }
}

/// The last offset of each partition.
fn position(placed: &[Placed]) -> Option<Position> {
    let mut offsets = BTreeMap::new();
    for place in placed {
        let last = offsets.entry(place.partition).or_insert(place.offset);
        *last = place.offset.max(*last);
    }
    (!offsets.is_empty()).then_some(Position::Events(offsets))
}
