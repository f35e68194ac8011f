//! What can go wrong on the bus.

/// A failure of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The topic does not exist.
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    /// The topic has no such partition.
    #[error("topic `{topic}` has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
    },
    /// The offset was trimmed away or lies beyond the end.
    #[error("offset {offset} of {topic}/{partition} is out of range: {low}..{high}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
        /// First offset kept.
        low: i64,
        /// Next offset to be written.
        high: i64,
    },
    /// The group has moved on: another member may own the partitions now. The same call never succeeds: beat or join again, read
    /// [`committed`](crate::Bus::committed), and do the work anew.
    #[error("group `{group}` is at generation {current}; this member holds {held}")]
    StaleGeneration {
        /// The group.
        group: String,
        /// The generation that the caller holds.
        held: u64,
        /// The generation of the group.
        current: u64,
    },
    /// A topic exists with another number of partitions.
    #[error("topic `{topic}` has {actual} partitions, not {wanted}")]
    PartitionCount {
        /// The topic.
        topic: String,
        /// Partitions that it has.
        actual: i32,
        /// Partitions asked for.
        wanted: i32,
    },
    /// A record is larger than the limit.
    #[error("record of {size} bytes for topic `{topic}` exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Size of the record.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The call itself is wrong, such as a topic name with a space. It never succeeds: mend the caller.
    #[error("invalid call: {0}")]
    Invalid(String),
    /// The engine failed; what was in flight is not acknowledged. Retry; if it stays, look at the disk.
    #[error("bus engine: {0}")]
    Engine(String),
    /// A write failed, and the engine accepts nothing more until it is opened again. Stop and start again; look at the disk.
    #[error("the bus has failed for good: {0}")]
    Poisoned(String),
    /// The engine is shutting down.
    #[error("the bus is closed")]
    Closed,
}

impl BusError {
    /// Whether the caller's work can go on without a person or a restart: with the same call, or, after
    /// [`BusError::StaleGeneration`], from a new place in the group on.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Engine(_) | Self::StaleGeneration { .. })
    }
}
