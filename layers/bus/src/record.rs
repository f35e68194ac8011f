//! Records, as they are written and as they are read.

use bytes::Bytes;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A header: a name and bytes.
pub type Header = (String, Bytes);

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic.
    pub topic: String,
    /// The partition; when none, the key's (murmur2), and partition 0 without a key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none deletes the key from a compacted view.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970 UTC; 0 lets the bus take the time of the append.
    pub timestamp_ms: i64,
}

impl NewRecord {
    /// Its size against the limits and in retention by bytes: key, value, headers, and what describes them.
    #[must_use]
    pub fn size(&self) -> usize {
        size(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub at: TopicPartition,
    /// Its offset: dense from 0 within the partition.
    pub offset: i64,
    /// Milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Vec<Header>,
}

impl Record {
    /// Its size in retention by bytes, as [`NewRecord::size`].
    #[must_use]
    pub fn size(&self) -> usize {
        size(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }
}

/// Time, two lengths and a count before each record; two lengths before each header.
fn size(key: Option<&Bytes>, value: Option<&Bytes>, headers: &[Header]) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
    18 + key.map_or(0, Bytes::len) + value.map_or(0, Bytes::len) + headers
}

/// Where a written record came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}
