//! The trait that every bus engine implements.

use crate::{BusError, Group, NewRecord, Placed, Record, Step, TopicPartition};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Records older than this may be trimmed, up to the first one that is younger; none keeps them for ever. Age is counted
    /// from the record's own time.
    pub retention: Option<Duration>,
    /// The oldest records of a partition beyond this many bytes may be trimmed; none keeps them.
    pub retention_bytes: Option<u64>,
}

impl TopicSpec {
    /// A topic that keeps everything.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, retention: None, retention_bytes: None }
    }
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that can be read.
    pub low: i64,
    /// Next offset to be written. Never falls, not even when everything is trimmed.
    pub high: i64,
}

/// A durable, ordered, partitioned log with groups and atomic steps.
///
/// `Ok` from [`Bus::produce`] and [`Bus::step`] means durable. Records of one call that go to one partition keep their order
/// and stand side by side.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Creates a topic; does nothing when it exists with the same number of partitions.
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), BusError>;

    /// All topics, by name.
    async fn topics(&self) -> Result<Vec<TopicSpec>, BusError>;

    /// Writes records and returns where each came to stand, once all are durable.
    async fn produce(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, BusError>;

    /// Reads up to `max_records` records and about `max_bytes` bytes from an offset; empty at the end of the log. At least one
    /// record is returned where there is one, however large.
    ///
    /// # Errors
    /// [`BusError::OffsetOutOfRange`] below the low or beyond the high watermark.
    async fn fetch(
        &self,
        at: &TopicPartition,
        from: i64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, BusError>;

    /// Waits until any of the partitions has a record at or beyond its offset; false when the time is up.
    async fn wait(&self, positions: &[(TopicPartition, i64)], at_most: Duration) -> Result<bool, BusError>;

    /// The ends of a partition.
    async fn watermarks(&self, at: &TopicPartition) -> Result<Watermarks, BusError>;

    /// The first offset whose record is at or after a time (milliseconds since 1970 UTC); none when there is none.
    async fn offset_for_time(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Option<i64>, BusError>;

    /// Removes records below an offset; does nothing when they are gone already.
    ///
    /// # Errors
    /// [`BusError::OffsetOutOfRange`] beyond the high watermark.
    async fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), BusError>;

    /// Applies the topics' retention as of a time (milliseconds since 1970 UTC). Engines do so by themselves every now and
    /// then; whoever calls this need not wait. An engine whose server keeps to the retention does nothing.
    async fn enforce_retention(&self, now_ms: i64) -> Result<(), BusError>;

    /// Joins a group on some topics. Partitions are shared out among the live members; every join, leave or death of a member
    /// starts a new generation.
    async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Group>, BusError>;

    /// The next offset that a group reads, if it has committed one.
    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<i64>, BusError>;

    /// Commits consumed offsets, state changes and produced records together, and returns where the records stand once all is
    /// durable.
    async fn step(&self, step: Step) -> Result<Vec<Placed>, BusError>;

    /// A value of a processor's state.
    fn state_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Bytes>, BusError>;

    /// Keys and values of a namespace from a key on, in key order, at most `limit`.
    fn state_scan(&self, namespace: &str, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, BusError>;
}
