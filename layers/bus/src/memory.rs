//! The in-memory engine, for tests: the same rules as a real engine, nothing on disk.

use crate::coordinator::{Coordinator, Membership, SESSION_TIMEOUT};
use crate::{Bus, BusError, Group, NewRecord, Placed, Record, Step, TopicPartition, TopicSpec, Watermarks, limits};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

#[derive(Default)]
struct Partition {
    low: i64,
    records: VecDeque<Record>,
}

impl Partition {
    fn ends(&self) -> Watermarks {
        Watermarks { low: self.low, high: self.low + self.records.len() as i64 }
    }

    fn trim(&mut self, before: i64) {
        let gone = usize::try_from(before - self.low).unwrap_or(0).min(self.records.len());
        self.records.drain(..gone);
        self.low += gone as i64;
    }
}

struct Topic {
    spec: TopicSpec,
    partitions: Vec<Partition>,
}

struct Contents {
    topics: BTreeMap<String, Topic>,
    committed: HashMap<(String, TopicPartition), i64>,
    values: BTreeMap<(String, Bytes), Bytes>,
    groups: Coordinator,
}

impl Contents {
    fn topic(&self, name: &str) -> Result<&Topic, BusError> {
        self.topics.get(name).ok_or_else(|| BusError::UnknownTopic(name.to_owned()))
    }

    fn partition(&self, at: &TopicPartition) -> Result<&Partition, BusError> {
        let unknown = || BusError::UnknownPartition { topic: at.topic.clone(), partition: at.partition };
        let index = usize::try_from(at.partition).map_err(|_| unknown())?;
        self.topic(&at.topic)?.partitions.get(index).ok_or_else(unknown)
    }

    fn partition_mut(&mut self, at: &TopicPartition) -> Option<&mut Partition> {
        let index = usize::try_from(at.partition).ok()?;
        self.topics.get_mut(&at.topic)?.partitions.get_mut(index)
    }

    /// Checks everything first, so that a step is whole or nothing.
    fn apply(&mut self, step: Step) -> Result<Vec<Placed>, BusError> {
        limits::check_step(&step)?;
        let mut places = Vec::with_capacity(step.produce.len());
        for record in &step.produce {
            places.push(limits::place(record, self.topic(&record.topic)?.spec.partitions)?);
        }
        for (at, _) in &step.consumed {
            self.partition(at)?;
        }
        if let Some(generation) = step.generation {
            self.groups.check(&step.group, generation)?;
        }
        for (at, offset) in step.consumed {
            self.committed.insert((step.group.clone(), at), offset);
        }
        for change in step.state {
            let key = (change.namespace, change.key);
            match change.value {
                Some(value) => drop(self.values.insert(key, value)),
                None => drop(self.values.remove(&key)),
            }
        }
        let now = now_ms();
        Ok(step.produce.into_iter().zip(places).filter_map(|(record, place)| self.append(record, place, now)).collect())
    }

    fn append(&mut self, record: NewRecord, partition: i32, now: i64) -> Option<Placed> {
        let NewRecord { topic, key, value, headers, timestamp_ms, .. } = record;
        let at = TopicPartition { topic, partition };
        let log = self.partition_mut(&at)?;
        let offset = log.ends().high;
        let timestamp_ms = if timestamp_ms == 0 { now } else { timestamp_ms };
        log.records.push_back(Record { at, offset, timestamp_ms, key, value, headers });
        Some(Placed { partition, offset })
    }

    fn retain(&mut self, now_ms: i64) {
        for topic in self.topics.values_mut() {
            let oldest = topic.spec.retention.map(|age| now_ms.saturating_sub(age.as_millis() as i64));
            for log in &mut topic.partitions {
                let young = |oldest| log.records.iter().find(|record| record.timestamp_ms >= oldest);
                let by_time = oldest.map(|oldest| young(oldest).map_or(log.ends().high, |record| record.offset));
                let by_size = topic.spec.retention_bytes.map(|limit| {
                    let mut kept = 0;
                    let fits = |record: &&Record| {
                        kept += record.size() as u64;
                        kept <= limit
                    };
                    log.ends().high - log.records.iter().rev().take_while(fits).count() as i64
                });
                if let Some(before) = by_time.max(by_size) {
                    log.trim(before);
                }
            }
        }
    }
}

struct Inner {
    contents: Mutex<Contents>,
    changed: Notify,
    started: Instant,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The in-memory engine.
#[derive(Clone)]
pub struct MemoryBus {
    inner: Arc<Inner>,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBus {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        Self::with_session_timeout(SESSION_TIMEOUT)
    }

    /// An empty bus whose group members die after some silence.
    #[must_use]
    pub fn with_session_timeout(session: Duration) -> Self {
        let contents = Contents {
            topics: BTreeMap::new(),
            committed: HashMap::new(),
            values: BTreeMap::new(),
            groups: Coordinator::new(session),
        };
        Self {
            inner: Arc::new(Inner { contents: Mutex::new(contents), changed: Notify::new(), started: Instant::now() }),
        }
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), BusError> {
        limits::check_topic(spec)?;
        let mut contents = self.inner.lock();
        if let Some(topic) = contents.topics.get(&spec.name) {
            let (actual, wanted) = (topic.spec.partitions, spec.partitions);
            if actual != wanted {
                return Err(BusError::PartitionCount { topic: spec.name.clone(), actual, wanted });
            }
            return Ok(());
        }
        let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
        contents.topics.insert(spec.name.clone(), Topic { spec: spec.clone(), partitions });
        Ok(())
    }

    async fn topics(&self) -> Result<Vec<TopicSpec>, BusError> {
        Ok(self.inner.lock().topics.values().map(|topic| topic.spec.clone()).collect())
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
        let contents = self.inner.lock();
        let log = contents.partition(at)?;
        let Watermarks { low, high } = log.ends();
        if from < low || from > high {
            let (topic, partition) = (at.topic.clone(), at.partition);
            return Err(BusError::OffsetOutOfRange { topic, partition, offset: from, low, high });
        }
        let mut bytes = 0;
        let mut records = Vec::new();
        for record in log.records.range((from - low) as usize..).take(max_records) {
            if bytes >= max_bytes && !records.is_empty() {
                break;
            }
            bytes += record.size();
            records.push(record.clone());
        }
        Ok(records)
    }

    async fn wait(&self, positions: &[(TopicPartition, i64)], at_most: Duration) -> Result<bool, BusError> {
        let ready = || -> Result<bool, BusError> {
            let contents = self.inner.lock();
            for (at, offset) in positions {
                let ends = contents.partition(at)?.ends();
                if ends.high > ends.low.max(*offset) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let deadline = tokio::time::Instant::now() + at_most;
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if ready()? {
                return Ok(true);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(false);
            }
        }
    }

    async fn watermarks(&self, at: &TopicPartition) -> Result<Watermarks, BusError> {
        Ok(self.inner.lock().partition(at)?.ends())
    }

    async fn offset_for_time(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Option<i64>, BusError> {
        let contents = self.inner.lock();
        let mut records = contents.partition(at)?.records.iter();
        Ok(records.find(|record| record.timestamp_ms >= timestamp_ms).map(|record| record.offset))
    }

    async fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), BusError> {
        let mut contents = self.inner.lock();
        let Watermarks { low, high } = contents.partition(at)?.ends();
        if before > high {
            let (topic, partition) = (at.topic.clone(), at.partition);
            return Err(BusError::OffsetOutOfRange { topic, partition, offset: before, low, high });
        }
        if let Some(log) = contents.partition_mut(at) {
            log.trim(before);
        }
        Ok(())
    }

    async fn enforce_retention(&self, now_ms: i64) -> Result<(), BusError> {
        self.inner.lock().retain(now_ms);
        Ok(())
    }

    async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Group>, BusError> {
        limits::check_name("group", group)?;
        let mut contents = self.inner.lock();
        let count = |name: &String| Ok((name.clone(), contents.topic(name)?.spec.partitions));
        let topics = topics.iter().map(count).collect::<Result<Vec<_>, BusError>>()?;
        let place = contents.groups.join(group, topics.clone(), self.inner.started.elapsed());
        Ok(Box::new(Member { bus: self.clone(), group: group.to_owned(), topics, place }))
    }

    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<i64>, BusError> {
        let contents = self.inner.lock();
        contents.partition(at)?;
        Ok(contents.committed.get(&(group.to_owned(), at.clone())).copied())
    }

    async fn step(&self, step: Step) -> Result<Vec<Placed>, BusError> {
        let placed = self.inner.lock().apply(step)?;
        self.inner.changed.notify_waiters();
        Ok(placed)
    }

    fn state_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Bytes>, BusError> {
        let key = (namespace.to_owned(), Bytes::copy_from_slice(key));
        Ok(self.inner.lock().values.get(&key).cloned())
    }

    fn state_scan(&self, namespace: &str, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, BusError> {
        let from = (namespace.to_owned(), Bytes::copy_from_slice(from));
        let contents = self.inner.lock();
        let found = contents.values.range(from..).take_while(|((of, _), _)| of == namespace).take(limit);
        Ok(found.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

struct Member {
    bus: MemoryBus,
    group: String,
    topics: Vec<(String, i32)>,
    place: Membership,
}

#[async_trait]
impl Group for Member {
    fn assignment(&self) -> Vec<TopicPartition> {
        self.place.assignment.clone()
    }

    fn generation(&self) -> u64 {
        self.place.generation
    }

    async fn heartbeat(&mut self) -> Result<bool, BusError> {
        let now = self.bus.inner.started.elapsed();
        let place = self.bus.inner.lock().groups.heartbeat(&self.group, self.place.member, &self.topics, now);
        let changed = place.generation != self.place.generation;
        self.place = place;
        Ok(changed)
    }

    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), BusError> {
        let step = Step {
            group: self.group.clone(),
            consumed: offsets.to_vec(),
            generation: Some(self.place.generation),
            ..Step::default()
        };
        self.bus.step(step).await.map(drop)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.bus.inner.lock().groups.leave(&self.group, self.place.member);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
