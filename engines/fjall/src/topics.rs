//! Topics in memory: where each partition begins and ends, and its newest chunks.

use crate::chunk::Chunk;
use bus::{BusError, TopicPartition, TopicSpec, Watermarks};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// A topic.
pub(crate) struct Topic {
    pub(crate) id: u32,
    pub(crate) spec: TopicSpec,
    pub(crate) partitions: Vec<Partition>,
    /// Wakes those who wait for records.
    pub(crate) grown: Notify,
}

/// A partition. Offsets are published after the commit that made them durable.
#[derive(Default)]
pub(crate) struct Partition {
    low: AtomicI64,
    high: AtomicI64,
    /// Bytes before `low`, since offset 0.
    bytes_low: AtomicU64,
    /// Chunks before this offset have been deleted.
    pub(crate) swept: AtomicI64,
    end: Mutex<End>,
    tail: Mutex<VecDeque<Chunk>>,
}

/// Where the next chunk goes on. Only the writer changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// The high watermark.
    pub(crate) high: i64,
    /// The newest time so far.
    pub(crate) reached_ms: i64,
    /// Bytes since offset 0.
    pub(crate) bytes: u64,
}

/// Where trimming stands; what a partition goes on from when all of it is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) low: i64,
    pub(crate) bytes_low: u64,
    pub(crate) end: End,
}

impl Mark {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { low, bytes_low, end } = self;
        let numbers = [low.to_be_bytes(), bytes_low.to_be_bytes(), end.high.to_be_bytes()];
        [&numbers.concat()[..], &end.reached_ms.to_be_bytes(), &end.bytes.to_be_bytes()].concat()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let [low, bytes_low, high, reached_ms, bytes] = words else { return None };
        let end = End {
            high: i64::from_be_bytes(*high),
            reached_ms: i64::from_be_bytes(*reached_ms),
            bytes: u64::from_be_bytes(*bytes),
        };
        let mark = Self { low: i64::from_be_bytes(*low), bytes_low: u64::from_be_bytes(*bytes_low), end };
        rest.is_empty().then_some(mark)
    }
}

impl Partition {
    /// A partition as the disk has it: its mark, and its last chunk.
    pub(crate) fn recovered(mark: Mark, last: Option<&Chunk>) -> Self {
        let of = |chunk: &Chunk| End { high: chunk.last + 1, reached_ms: chunk.reached_ms, bytes: chunk.bytes_end };
        let end = last.map(of).filter(|end| end.high > mark.end.high).unwrap_or(mark.end);
        Self {
            low: AtomicI64::new(mark.low),
            high: AtomicI64::new(end.high),
            bytes_low: AtomicU64::new(mark.bytes_low),
            end: Mutex::new(end),
            ..Self::default()
        }
    }

    /// Its ends.
    pub(crate) fn ends(&self) -> Watermarks {
        // High first: low never passes a high that was read before it by more than what was trimmed since.
        let high = self.high.load(Ordering::Acquire);
        let low = self.low.load(Ordering::Acquire);
        Watermarks { low, high: high.max(low) }
    }

    /// Bytes kept, by the records' sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.end().bytes.saturating_sub(self.bytes_low.load(Ordering::Acquire))
    }

    pub(crate) fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, VecDeque<Chunk>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes durable chunks; they show with the rest of their commit.
    pub(crate) fn publish(&self, end: End, chunks: Vec<Chunk>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        self.tail().extend(chunks);
        self.high.store(end.high, Ordering::Release);
    }

    /// Shows a durable mark to readers.
    pub(crate) fn trimmed(&self, low: i64, bytes_low: u64) {
        self.bytes_low.fetch_max(bytes_low, Ordering::AcqRel);
        self.low.fetch_max(low, Ordering::AcqRel);
    }
}

impl Topic {
    pub(crate) fn new(id: u32, spec: TopicSpec, partitions: Vec<Partition>) -> Arc<Self> {
        Arc::new(Self { id, spec, partitions, grown: Notify::new() })
    }

    pub(crate) fn partition(&self, partition: i32) -> Result<&Partition, BusError> {
        let found = usize::try_from(partition).ok().and_then(|index| self.partitions.get(index));
        found.ok_or_else(|| BusError::UnknownPartition { topic: self.spec.name.clone(), partition })
    }

    pub(crate) fn out_of_range(&self, partition: i32, offset: i64, ends: Watermarks) -> BusError {
        let (topic, Watermarks { low, high }) = (self.spec.name.clone(), ends);
        BusError::OffsetOutOfRange { topic, partition, offset, low, high }
    }
}

/// All topics.
#[derive(Default)]
pub(crate) struct Topics {
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Topics {
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Topic>, BusError> {
        self.get(name).ok_or_else(|| BusError::UnknownTopic(name.to_owned()))
    }

    /// The topic of a partition that exists.
    pub(crate) fn of(&self, at: &TopicPartition) -> Result<Arc<Topic>, BusError> {
        let topic = self.find(&at.topic)?;
        topic.partition(at.partition)?;
        Ok(topic)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn add(&self, topic: Arc<Topic>) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(topic.spec.name.clone(), topic);
    }
}

/// A topic as it lies on the disk: id, partitions, retention in milliseconds and bytes, -1 for none.
pub(crate) fn encode_spec(id: u32, spec: &TopicSpec) -> Vec<u8> {
    let limit = |limit: Option<u64>| limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let age = spec.retention.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut value = [id.to_be_bytes(), spec.partitions.to_be_bytes()].concat();
    value.extend_from_slice(&limit(age).to_be_bytes());
    value.extend_from_slice(&limit(spec.retention_bytes).to_be_bytes());
    value
}

/// Reads a topic's id and specification.
pub(crate) fn decode_spec(name: &[u8], value: &[u8]) -> Option<(u32, TopicSpec)> {
    let [i0, i1, i2, i3, p0, p1, p2, p3, limits @ ..] = value else { return None };
    let (limits, rest) = limits.as_chunks::<8>();
    let [age, bytes] = limits else { return None };
    let spec = TopicSpec {
        name: String::from_utf8(name.to_vec()).ok()?,
        partitions: i32::from_be_bytes([*p0, *p1, *p2, *p3]),
        retention: u64::try_from(i64::from_be_bytes(*age)).ok().map(Duration::from_millis),
        retention_bytes: u64::try_from(i64::from_be_bytes(*bytes)).ok(),
    };
    (rest.is_empty() && spec.partitions > 0).then_some((u32::from_be_bytes([*i0, *i1, *i2, *i3]), spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_the_disk_reads_back() {
        let mark = Mark { low: 3, bytes_low: 70, end: End { high: 9, reached_ms: -5, bytes: 900 } };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Mark::decode(&mark.encode()[1..]), None);
        for (retention, retention_bytes) in [(None, Some(7)), (Some(Duration::from_millis(5)), None)] {
            let spec = TopicSpec { retention, retention_bytes, ..TopicSpec::new("crm.member", 4) };
            assert_eq!(decode_spec(b"crm.member", &encode_spec(12, &spec)), Some((12, spec)));
        }
        assert_eq!(decode_spec(b"t", &[0; 23]), None);
    }
}
