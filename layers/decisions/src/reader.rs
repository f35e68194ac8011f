//! Reads topics as a member of a group, by batches, and moves the group's offsets only when told to.

use crate::DecisionsError;
use bus::{Bus, BusError, Group, Record, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most records of one partition in a batch.
const RECORDS_MAX: usize = 256;
/// About how many bytes of one partition in a batch.
const BYTES_MAX: usize = 1 << 20;

/// A place in a group.
pub(crate) struct Reader {
    bus: Arc<dyn Bus>,
    name: String,
    group: Box<dyn Group>,
    /// Next offset to read of each partition that is ours.
    next: BTreeMap<TopicPartition, i64>,
}

impl Reader {
    pub(crate) async fn join(bus: Arc<dyn Bus>, name: &str, topics: &[String]) -> Result<Self, DecisionsError> {
        let group = bus.join(name, topics).await?;
        let mut reader = Self { bus, name: name.to_owned(), group, next: BTreeMap::new() };
        reader.take_over().await?;
        Ok(reader)
    }

    /// Goes on where the group is: everything beyond its committed offsets is read again.
    async fn take_over(&mut self) -> Result<(), DecisionsError> {
        let mut next = BTreeMap::new();
        for at in self.group.assignment() {
            let offset = match self.bus.committed(&self.name, &at).await? {
                Some(offset) => offset,
                None => self.bus.watermarks(&at).await?.low,
            };
            next.insert(at, offset);
        }
        self.next = next;
        Ok(())
    }

    /// The next records, one list a partition, each in order; empty when there was nothing for `at_most`.
    pub(crate) async fn batch(&mut self, at_most: Duration) -> Result<Vec<Vec<Record>>, DecisionsError> {
        if self.group.heartbeat().await? {
            self.take_over().await?;
        }
        let positions: Vec<(TopicPartition, i64)> =
            self.next.iter().map(|(at, offset)| (at.clone(), *offset)).collect();
        if positions.is_empty() {
            tokio::time::sleep(at_most).await;
            return Ok(Vec::new());
        }
        if !self.bus.wait(&positions, at_most).await? {
            return Ok(Vec::new());
        }
        let mut lists = Vec::new();
        for (at, offset) in positions {
            match self.bus.fetch(&at, offset, RECORDS_MAX, BYTES_MAX).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => lists.push(records),
                // Retention took what this group had not read yet: go on with what is left.
                Err(BusError::OffsetOutOfRange { low, .. }) if offset < low => {
                    tracing::warn!(target: "decisions", partition = %at, offset, low, "records were trimmed before they were read");
                    self.next.insert(at, low);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(lists)
    }

    /// Says that a batch is dealt with, for good.
    pub(crate) async fn commit(&mut self, lists: &[Vec<Record>]) -> Result<(), DecisionsError> {
        let done = lists.iter().filter_map(|records| records.last());
        let offsets: Vec<(TopicPartition, i64)> = done.map(|record| (record.at.clone(), record.offset + 1)).collect();
        self.group.commit(&offsets).await?;
        self.next.extend(offsets);
        Ok(())
    }

    /// Records dealt with, of all partitions that are ours.
    pub(crate) fn position(&self) -> i64 {
        self.next.values().sum()
    }

    /// Records that are not read yet.
    pub(crate) async fn lag(&self) -> Result<u64, DecisionsError> {
        let mut lag = 0;
        for (at, next) in &self.next {
            lag += u64::try_from(self.bus.watermarks(at).await?.high - next).unwrap_or(0);
        }
        Ok(lag)
    }
}
