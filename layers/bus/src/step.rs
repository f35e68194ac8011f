//! The atomic step: what a processor consumed, what it remembers and what it produced, committed together or not at all.

use crate::{NewRecord, TopicPartition};
use bytes::Bytes;

/// One change of a processor's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Namespace: one a stage, such as `processing.persons`.
    pub namespace: String,
    /// Key within the namespace.
    pub key: Bytes,
    /// The new value; none deletes.
    pub value: Option<Bytes>,
}

/// One atomic commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The group whose offsets move; empty for a producer without input.
    pub group: String,
    /// Next offset to read, by partition.
    pub consumed: Vec<(TopicPartition, i64)>,
    /// State changes, in order.
    pub state: Vec<StateChange>,
    /// Records, in order.
    pub produce: Vec<NewRecord>,
    /// Generation of the group membership that did the work; a stale one is refused. None outside group membership.
    pub generation: Option<u64>,
}
