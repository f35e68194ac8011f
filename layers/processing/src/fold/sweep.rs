//! Changed definitions reach everybody: after a start with other definitions, all people are looked at once, some in every step.

use super::person::PERSONS;
use crate::ProcessingError;
use bus::{Bus, StateChange, TopicPartition, partition_of};
use bytes::Bytes;
use model::topic::SHARDS;
use std::collections::BTreeSet;

/// Namespace of the definitions' fingerprint that a shard's people were last looked at with.
const SWEPT: &str = "processing.swept";
/// People looked at in one step; signals must not wait for long.
const SLICE: usize = 500;

/// The look at everybody, of some shards.
#[derive(Default)]
pub struct Sweep {
    fingerprint: u64,
    /// Shards whose people are not all looked at yet.
    shards: BTreeSet<i32>,
    /// Where to go on. After a restart it begins anew: whoever was looked at needs no more than a glance.
    from: Vec<u8>,
}

impl Sweep {
    /// What is to be done for some shards.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn load(bus: &dyn Bus, partitions: &[TopicPartition], fingerprint: u64) -> Result<Self, ProcessingError> {
        let mut shards = BTreeSet::new();
        for at in partitions {
            let swept = bus.state_get(SWEPT, &at.partition.to_be_bytes())?;
            if swept.is_none_or(|swept| *swept != fingerprint.to_be_bytes()) {
                shards.insert(at.partition);
            }
        }
        Ok(Self { fingerprint, shards, from: Vec::new() })
    }

    /// Whether everybody was looked at.
    pub fn is_done(&self) -> bool {
        self.shards.is_empty()
    }

    /// The next people. After the last ones, their shards are noted as done in the state.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn next(
        &mut self,
        bus: &dyn Bus,
        most: usize,
        state: &mut Vec<StateChange>,
    ) -> Result<Vec<String>, ProcessingError> {
        if self.is_done() {
            return Ok(Vec::new());
        }
        let slice = most.min(SLICE);
        let page = bus.state_scan(PERSONS, &self.from, slice)?;
        if let Some((last, _)) = page.last() {
            self.from = [last, &[0][..]].concat();
        }
        let mine = page.iter().filter(|(id, _)| self.shards.contains(&partition_of(id, SHARDS)));
        let people = mine.filter_map(|(id, _)| String::from_utf8(id.to_vec()).ok()).collect();
        if page.len() < slice {
            state.extend(std::mem::take(&mut self.shards).iter().map(|shard| StateChange {
                namespace: SWEPT.to_owned(),
                key: Bytes::copy_from_slice(&shard.to_be_bytes()),
                value: Some(Bytes::copy_from_slice(&self.fingerprint.to_be_bytes())),
            }));
        }
        Ok(people)
    }
}
