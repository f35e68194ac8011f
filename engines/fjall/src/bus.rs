//! The bus on fjall: checks and encodes in the caller's task, hands over to the writer, reads in place.

use crate::chunk::{CHUNK_BYTES, Draft};
use crate::error::engine;
use crate::group::Member;
use crate::reader::{self, Limits};
use crate::store::{Engine, Shared, bytes_of};
use crate::topics::Topic;
use crate::writer::{Queue, Reply, Trim, Work, Write};
use crate::{keys, retention};
use ::bus::{Bus, BusError, Group, NewRecord, Placed, Record, Step, TopicPartition, TopicSpec, Watermarks, limits};
use async_trait::async_trait;
use bytes::Bytes;
use fjall::Readable;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Bytes on their way to the writer, KiB: beyond it callers wait their turn.
const ROOM_KIB: u32 = 128 << 10;

/// The bus of a [`Store`](crate::Store). Clones are the same bus.
#[derive(Clone)]
pub struct FjallBus {
    engine: Arc<Engine>,
    room: Arc<Semaphore>,
}

impl FjallBus {
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { engine: Arc::new(Engine::new(shared, queue)), room: Arc::new(Semaphore::new(ROOM_KIB as usize)) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.engine.shared
    }

    /// Hands work to the writer without waiting for it.
    pub(crate) fn tell(&self, work: Work) -> Result<(), BusError> {
        self.engine.send(work)
    }

    /// Hands work to the writer and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        work: Work,
        answer: oneshot::Receiver<Result<T, BusError>>,
    ) -> Result<T, BusError> {
        self.engine.send(work)?;
        answer.await.unwrap_or_else(|_| Err(self.shared().healthy().err().unwrap_or(BusError::Closed)))
    }

    /// Applies retention every now and then until asked to stop.
    ///
    /// # Errors
    /// When a write has failed and the store accepts nothing more: only a restart helps.
    pub async fn run_retention(&self, stop: CancellationToken) -> Result<(), BusError> {
        let every = Duration::from_secs(self.shared().options.retention_every_s.max(1));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.shared().failed.cancelled() => return self.shared().healthy(),
                () = tokio::time::sleep(every) => {}
            }
            if let Err(error) = self.enforce_retention(now_ms()).await {
                tracing::warn!(target: "bus", %error, "retention failed; tried again later");
            }
        }
    }

    /// Runs something that may read the disk where it holds up nobody.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let bus = self.clone();
        match tokio::task::spawn_blocking(move || work(bus.shared())).await {
            Ok(result) => result,
            Err(_) => Err(BusError::Closed),
        }
    }

    /// Moves a partition's low watermark, to the high one at most, and deletes what lies below.
    async fn cut(&self, topic: Arc<Topic>, partition: i32, before: i64) -> Result<(), BusError> {
        let of = Arc::clone(&topic);
        let bytes_low = self.aside(move |shared| reader::bytes_before(shared, &of, partition, before)).await?;
        let (reply, done) = oneshot::channel();
        let trim = Trim { topic: Arc::clone(&topic), partition: partition.unsigned_abs(), before, bytes_low, reply };
        self.ask(Work::Trim(trim), done).await?;
        self.aside(move |shared| retention::sweep(shared, &topic, partition)).await
    }

    /// Checks a step and encodes it.
    fn prepare(&self, step: &Step, reply: Reply<Vec<i64>>) -> Result<(Write, Encoded), BusError> {
        limits::check_step(step)?;
        let topics = &self.shared().topics;
        let mut offsets = Vec::with_capacity(step.consumed.len());
        for (at, offset) in &step.consumed {
            let topic = topics.of(at)?;
            offsets.push((keys::offset(topic.id, at.partition.unsigned_abs(), &step.group), *offset));
        }
        let mut encoded = Encoded::default();
        encoded.places.reserve(step.produce.len());
        let now = now_ms();
        for record in &step.produce {
            if encoded.topic.as_ref().is_none_or(|topic| topic.spec.name != record.topic) {
                encoded.topic = Some(topics.find(&record.topic)?);
            }
            encoded.push(record, now)?;
        }
        let state = step.state.iter().map(|change| (keys::state(&change.namespace, &change.key), change.value.clone()));
        let fence = step.generation.map(|generation| (step.group.clone(), generation));
        let drafts = std::mem::take(&mut encoded.drafts);
        Ok((Write { drafts, offsets, state: state.collect(), fence, reply }, encoded))
    }
}

/// The records of a call, by partition.
#[derive(Default)]
struct Encoded {
    /// The topic of the record before: neighbours are mostly of one topic.
    topic: Option<Arc<Topic>>,
    drafts: Vec<(Arc<Topic>, u32, Draft)>,
    /// The draft that still takes records of a partition.
    open: HashMap<(u32, i32), usize>,
    /// Per record: its draft, its partition, its place in the draft.
    places: Vec<(usize, i32, u32)>,
}

impl Encoded {
    fn push(&mut self, record: &NewRecord, now_ms: i64) -> Result<(), BusError> {
        let Some(topic) = &self.topic else { return Err(BusError::UnknownTopic(record.topic.clone())) };
        let partition = limits::place(record, topic.spec.partitions)?;
        let open = self.open.entry((topic.id, partition)).or_insert(usize::MAX);
        let full = |(_, _, draft): &(_, _, Draft)| draft.bytes.len() + record.size() > CHUNK_BYTES;
        if self.drafts.get(*open).is_none_or(full) {
            *open = self.drafts.len();
            self.drafts.push((Arc::clone(topic), partition.unsigned_abs(), Draft::default()));
        }
        let draft = &mut self.drafts[*open].2;
        self.places.push((*open, partition, draft.count));
        draft.push(record, now_ms);
        Ok(())
    }

    fn placed(&self, offsets: &[i64]) -> Vec<Placed> {
        let placed = |(draft, partition, nth): &(usize, i32, u32)| {
            let first = offsets.get(*draft).copied().unwrap_or_default();
            Placed { partition: *partition, offset: first + i64::from(*nth) }
        };
        self.places.iter().map(placed).collect()
    }
}

#[async_trait]
impl Bus for FjallBus {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), BusError> {
        limits::check_topic(spec)?;
        let (reply, done) = oneshot::channel();
        self.ask(Work::Create(spec.clone(), reply), done).await
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, BusError> {
        Ok(self.shared().topics.all().iter().map(|topic| topic.spec.clone()).collect())
    }

    async fn produce(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, BusError> {
        self.step(Step { produce: records, ..Step::default() }).await
    }

    async fn fetch(
        &self,
        at: &TopicPartition,
        from: i64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, BusError> {
        self.shared().healthy()?;
        let topic = self.shared().topics.find(&at.topic)?;
        let Watermarks { high, .. } = reader::check(self.shared(), &topic, at.partition, from)?;
        if from == high || max_records == 0 {
            return Ok(Vec::new());
        }
        let limits = Limits { records: max_records, bytes: max_bytes };
        if let Some(records) = reader::fetch_tail(topic.partition(at.partition)?, at, from, high, limits) {
            return records;
        }
        let at = at.clone();
        self.aside(move |shared| reader::fetch(shared, &topic, &at, from, high, limits)).await
    }

    async fn wait(&self, positions: &[(TopicPartition, i64)], at_most: Duration) -> Result<bool, BusError> {
        let mut topics: Vec<Arc<Topic>> = Vec::new();
        let mut watched = Vec::with_capacity(positions.len());
        for (at, offset) in positions {
            let topic = self.shared().topics.of(at)?;
            if topics.iter().all(|other| other.id != topic.id) {
                topics.push(Arc::clone(&topic));
            }
            watched.push((topic, at.partition, *offset));
        }
        let ready = || {
            let _whole = self.shared().seen();
            watched.iter().any(|(topic, partition, offset)| {
                topic.partition(*partition).is_ok_and(|log| log.ends().high > log.ends().low.max(*offset))
            })
        };
        let deadline = tokio::time::Instant::now() + at_most;
        loop {
            self.shared().healthy()?;
            let mut grown: Vec<Pin<Box<_>>> = topics.iter().map(|topic| Box::pin(topic.grown.notified())).collect();
            for grown in &mut grown {
                // From here on no growth is missed.
                grown.as_mut().enable();
            }
            if ready() {
                return Ok(true);
            }
            let any = std::future::poll_fn(|context| {
                let woken = grown.iter_mut().any(|grown| grown.as_mut().poll(context).is_ready());
                if woken { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::select! {
                () = any => {}
                () = self.shared().failed.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(false),
            }
        }
    }

    async fn watermarks(&self, at: &TopicPartition) -> Result<Watermarks, BusError> {
        let topic = self.shared().topics.find(&at.topic)?;
        self.shared().ends(&topic, at.partition)
    }

    async fn offset_for_time(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Option<i64>, BusError> {
        let (topic, partition) = (self.shared().topics.of(at)?, at.partition);
        self.aside(move |shared| reader::offset_for_time(shared, &topic, partition, timestamp_ms)).await
    }

    async fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), BusError> {
        let topic = self.shared().topics.of(at)?;
        let ends = self.shared().ends(&topic, at.partition)?;
        if before > ends.high {
            return Err(topic.out_of_range(at.partition, before, ends));
        }
        if before <= ends.low {
            return Ok(());
        }
        self.cut(topic, at.partition, before).await
    }

    async fn enforce_retention(&self, now_ms: i64) -> Result<(), BusError> {
        for (topic, partition) in retention::partitions(self.shared()) {
            let of = Arc::clone(&topic);
            let due = move |shared: &Shared| {
                retention::sweep(shared, &of, partition)?;
                retention::due(shared, &of, partition, now_ms)
            };
            if let Some(before) = self.aside(due).await? {
                self.cut(topic, partition, before).await?;
            }
        }
        Ok(())
    }

    async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Group>, BusError> {
        limits::check_name("group", group)?;
        let count = |name: &String| Ok((name.clone(), self.shared().topics.find(name)?.spec.partitions));
        let topics = topics.iter().map(count).collect::<Result<Vec<_>, BusError>>()?;
        Ok(Box::new(Member::join(self.clone(), group, topics).await?))
    }

    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<i64>, BusError> {
        let topic = self.shared().topics.of(at)?;
        let key = keys::offset(topic.id, at.partition.unsigned_abs(), group);
        Ok(self.shared().seen().get(&key).copied())
    }

    async fn step(&self, step: Step) -> Result<Vec<Placed>, BusError> {
        let (reply, offsets) = oneshot::channel();
        let (write, encoded) = self.prepare(&step, reply)?;
        drop(step);
        let kib = u32::try_from(write.bytes() >> 10).unwrap_or(ROOM_KIB).clamp(1, ROOM_KIB);
        let _room = self.room.acquire_many(kib).await.map_err(|_| BusError::Closed)?;
        let offsets = self.ask(Work::Write(write), offsets).await?;
        Ok(encoded.placed(&offsets))
    }

    fn state_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Bytes>, BusError> {
        self.shared().healthy()?;
        if key.len() > limits::MAX_STATE_KEY_BYTES {
            return Ok(None);
        }
        Ok(self.shared().state.get(keys::state(namespace, key)).map_err(engine)?.map(bytes_of))
    }

    fn state_scan(&self, namespace: &str, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, BusError> {
        self.shared().healthy()?;
        let range = keys::state(namespace, from)..keys::state_end(namespace);
        // One view for all of the scan: no step shows by half.
        let view = self.shared().db.snapshot();
        let skip = namespace.len() + 1;
        let entry = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner().map_err(engine)?;
            Ok((bytes_of(key).slice(skip..), bytes_of(value)))
        };
        view.range(&self.shared().state, range).take(limit).map(entry).collect()
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
