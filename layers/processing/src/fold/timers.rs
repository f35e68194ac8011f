//! Timers: when to look at a person again without a signal. Kept in the state; held in memory for the shards of this process.

use crate::ProcessingError;
use bus::{Bus, StateChange, TopicPartition, partition_of};
use bytes::Bytes;
use model::topic::SHARDS;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Namespace of timers: shard, time, person.
const TIMERS: &str = "processing.timers";
/// Timers read at once.
const PAGE: usize = 5_000;

/// The timers of this process' shards, by time.
#[derive(Default)]
pub struct Timers {
    by_time: BTreeSet<(i64, Arc<str>)>,
}

fn key(id: &str, at: i64) -> Bytes {
    let shard = u16::try_from(partition_of(id.as_bytes(), SHARDS)).unwrap_or(0);
    let mut key = Vec::with_capacity(10 + id.len());
    key.extend_from_slice(&shard.to_be_bytes());
    key.extend_from_slice(&order(at).to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    Bytes::from(key)
}

/// Signed times in the order of unsigned bytes.
const fn order(at: i64) -> u64 {
    at.cast_unsigned() ^ (1 << 63)
}

impl Timers {
    /// Reads the timers of some shards.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn load(&mut self, bus: &Arc<dyn Bus>, partitions: &[TopicPartition]) -> Result<(), ProcessingError> {
        self.by_time.clear();
        for partition in partitions {
            let shard = u16::try_from(partition.partition).unwrap_or(0).to_be_bytes();
            let mut from = shard.to_vec();
            loop {
                let page = bus.state_scan(TIMERS, &from, PAGE)?;
                let mine = page.iter().take_while(|(key, _)| key.starts_with(&shard)).count();
                for (key, _) in page.iter().take(mine) {
                    self.by_time.extend(read(key));
                }
                match page.last() {
                    Some((last, _)) if mine == PAGE => from = [last, &[0][..]].concat(),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// When the first one goes off.
    pub fn first(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Who is due.
    pub fn due(&self, now: i64, most: usize) -> Vec<Arc<str>> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, id)| Arc::clone(id)).collect()
    }

    /// Moves a person's timer.
    pub fn change(&mut self, id: &Arc<str>, before: Option<i64>, after: Option<i64>, state: &mut Vec<StateChange>) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.by_time.remove(&(at, Arc::clone(id)));
            state.push(StateChange { namespace: TIMERS.to_owned(), key: key(id, at), value: None });
        }
        if let Some(at) = after {
            self.by_time.insert((at, Arc::clone(id)));
            state.push(StateChange { namespace: TIMERS.to_owned(), key: key(id, at), value: Some(Bytes::new()) });
        }
    }
}

fn read(key: &[u8]) -> Option<(i64, Arc<str>)> {
    let at = u64::from_be_bytes(key.get(2..10)?.try_into().ok()?) ^ (1 << 63);
    Some((at.cast_signed(), Arc::from(std::str::from_utf8(key.get(10..)?).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_time_and_read_back() {
        let times = [i64::MIN, -5, 0, 7, i64::MAX];
        let keys: Vec<Bytes> = times.iter().map(|at| key("m:1", *at)).collect();
        assert!(keys.is_sorted());
        for (at, key) in times.iter().zip(&keys) {
            assert_eq!(read(key), Some((*at, Arc::from("m:1"))));
        }
    }
}
