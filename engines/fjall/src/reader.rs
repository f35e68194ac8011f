//! Reading: the newest chunks from memory, older ones from the database.

use crate::chunk::Chunk;
use crate::error::engine;
use crate::keys;
use crate::store::{Shared, bytes_of};
use crate::topics::{Partition, Topic};
use bus::{BusError, Record, TopicPartition, Watermarks};

/// How much one fetch returns.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// Checks that an offset lies in the log.
pub(crate) fn check(shared: &Shared, topic: &Topic, partition: i32, from: i64) -> Result<Watermarks, BusError> {
    let ends = shared.ends(topic, partition)?;
    if from < ends.low || from > ends.high {
        return Err(topic.out_of_range(partition, from, ends));
    }
    Ok(ends)
}

/// Reads from the chunks in memory, up to the high watermark given; none when they begin later.
pub(crate) fn fetch_tail(
    partition: &Partition,
    at: &TopicPartition,
    from: i64,
    high: i64,
    limits: Limits,
) -> Option<Result<Vec<Record>, BusError>> {
    let chunks: Vec<Chunk> = {
        let tail = partition.tail();
        let begin = tail.partition_point(|chunk| chunk.last < from);
        if tail.get(begin)?.first > from {
            return None;
        }
        let mut bytes = 0;
        // One more than fills the limit: the first may begin long before the offset.
        let fits = |chunk: &&Chunk| {
            let room = bytes <= limits.bytes && chunk.first - from < i64::try_from(limits.records).unwrap_or(i64::MAX);
            bytes += if chunk.first > from { chunk.records.len() } else { 0 };
            // Chunks lie in the tail a moment before their commit shows. A commit's end is a chunk's end.
            room && chunk.last < high
        };
        tail.range(begin..).take_while(fits).cloned().collect()
    };
    let (mut records, mut left) = (Vec::new(), limits.bytes);
    for chunk in chunks {
        if let Err(error) = chunk.read(at, from, &mut records, limits.records, &mut left) {
            return Some(Err(engine(error)));
        }
    }
    Some(Ok(records))
}

/// Reads from the database, up to the high watermark given.
pub(crate) fn fetch(
    shared: &Shared,
    topic: &Topic,
    at: &TopicPartition,
    from: i64,
    high: i64,
    limits: Limits,
) -> Result<Vec<Record>, BusError> {
    let (mut records, mut left) = (Vec::new(), limits.bytes);
    for chunk in chunks(shared, topic, at.partition, from, high) {
        chunk?.read(at, from, &mut records, limits.records, &mut left).map_err(engine)?;
        if records.len() >= limits.records || left == 0 {
            break;
        }
    }
    // A trim may have run meanwhile.
    if from < high && records.first().is_none_or(|record| record.offset != from) && limits.records > 0 {
        let ends = shared.ends(topic, at.partition)?;
        if from >= ends.low {
            return Err(engine(format!("{at} has no record {from} between its ends; check the disk")));
        }
        return Err(topic.out_of_range(at.partition, from, ends));
    }
    Ok(records)
}

/// The chunks from the one that holds an offset, up to a high watermark.
fn chunks<'a>(
    shared: &'a Shared,
    topic: &Topic,
    partition: i32,
    from: i64,
    high: i64,
) -> impl Iterator<Item = Result<Chunk, BusError>> + use<'a> {
    let partition = partition.unsigned_abs();
    let range =
        (from < high).then(|| keys::chunk(topic.id, partition, from)..=keys::chunk(topic.id, partition, high - 1));
    range.into_iter().flat_map(|range| shared.log.range(range)).map(|entry| {
        let (key, value) = entry.into_inner().map_err(engine)?;
        let last = keys::chunk_last(&key).ok_or_else(|| engine("a key of the log does not read; check the disk"))?;
        Chunk::open(last, &bytes_of(value)).map_err(engine)
    })
}

/// The first chunk for which `reached` holds, given that it holds for all later ones too.
fn search(
    shared: &Shared,
    topic: &Topic,
    partition: i32,
    reached: impl Fn(&Chunk) -> bool,
) -> Result<Option<Chunk>, BusError> {
    let Watermarks { low, high } = shared.ends(topic, partition)?;
    let (mut from, mut to, mut found) = (low, high, None);
    while from < to {
        let middle = from + (to - from) / 2;
        let Some(chunk) = chunks(shared, topic, partition, middle, high).next().transpose()? else { break };
        if reached(&chunk) {
            // Retention may have swept the middle away since: then the chunk begins behind it, even where it began before.
            to = chunk.first.min(middle);
            found = Some(chunk);
        } else {
            from = chunk.last + 1;
        }
    }
    Ok(found)
}

/// The first offset at or after a time.
pub(crate) fn offset_for_time(
    shared: &Shared,
    topic: &Topic,
    partition: i32,
    time_ms: i64,
) -> Result<Option<i64>, BusError> {
    let Watermarks { low, high } = shared.ends(topic, partition)?;
    let Some(begin) = search(shared, topic, partition, |chunk| chunk.reached_ms >= time_ms)? else { return Ok(None) };
    // Its own records may be older: what reached the time may have been trimmed away.
    for chunk in chunks(shared, topic, partition, begin.first.max(low), high) {
        let chunk = chunk?;
        if chunk.newest_ms >= time_ms
            && let Some(offset) = chunk.find_time(low, time_ms).map_err(engine)?
        {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

/// The first offset of the chunk that holds a byte of the partition, counted since offset 0.
pub(crate) fn offset_for_bytes(
    shared: &Shared,
    topic: &Topic,
    partition: i32,
    byte: u64,
) -> Result<Option<i64>, BusError> {
    Ok(search(shared, topic, partition, |chunk| chunk.bytes_end > byte)?.map(|chunk| chunk.first))
}

/// Bytes of a partition before an offset.
pub(crate) fn bytes_before(shared: &Shared, topic: &Topic, partition: i32, offset: i64) -> Result<u64, BusError> {
    let log = topic.partition(partition)?;
    match chunks(shared, topic, partition, offset, shared.ends(topic, partition)?.high).next().transpose()? {
        Some(chunk) => chunk.bytes_before(offset).map_err(engine),
        None => Ok(log.end().bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store};
    use bus::{Bus, NewRecord, TopicSpec};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    /// Retention sweeps while a search runs: the chunks go, and the watermark that the search began with is old.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_search_ends_where_chunks_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
        let record = NewRecord { topic: "t".to_owned(), timestamp_ms: 1000, ..NewRecord::default() };
        for _ in 0..20 {
            bus.produce(vec![record.clone(); 5]).await.unwrap();
        }
        let (shared, topic) = (Arc::clone(bus.shared()), bus.shared().topics.find("t").unwrap());
        for last in (4..50).step_by(5) {
            shared.log.remove(keys::chunk(topic.id, 0, last)).unwrap();
        }
        let (found, answer) = mpsc::channel();
        // Of its own, so that a search without end does not hold the test up.
        std::thread::spawn(move || found.send(offset_for_time(&shared, &topic, 0, 1000).unwrap()));
        assert_eq!(answer.recv_timeout(Duration::from_secs(30)), Ok(Some(50)));
    }
}
