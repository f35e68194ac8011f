//! Membership of a group of readers.

use crate::{BusError, TopicPartition};
use async_trait::async_trait;

/// One member's place in a group. Dropping it leaves the group.
#[async_trait]
pub trait Group: Send + Sync {
    /// The partitions that this member reads in the current generation.
    fn assignment(&self) -> Vec<TopicPartition>;

    /// The generation of that assignment.
    fn generation(&self) -> u64;

    /// Tells the group that this member lives, and takes over a new assignment; true when it changed.
    async fn heartbeat(&mut self) -> Result<bool, BusError>;

    /// Commits the next offset to read of some partitions.
    ///
    /// # Errors
    /// [`BusError::StaleGeneration`] when the group has moved on.
    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), BusError>;
}
