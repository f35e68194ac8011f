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
pub(crate) fn check(topic: &Topic, partition: i32, from: i64) -> Result<Watermarks, BusError> {
    let ends = topic.partition(partition)?.ends();
    if from < ends.low || from > ends.high {
        return Err(topic.out_of_range(partition, from, ends));
    }
    Ok(ends)
}

/// Reads from the chunks in memory; none when they begin later.
pub(crate) fn fetch_tail(
    partition: &Partition,
    at: &TopicPartition,
    from: i64,
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
            room
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
        let ends = topic.partition(at.partition)?.ends();
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
    let Watermarks { low, high } = topic.partition(partition)?.ends();
    let (mut from, mut to, mut found) = (low, high, None);
    while from < to {
        let middle = from + (to - from) / 2;
        let Some(chunk) = chunks(shared, topic, partition, middle, high).next().transpose()? else { break };
        if reached(&chunk) {
            to = chunk.first;
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
    let Watermarks { low, high } = topic.partition(partition)?.ends();
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
    match chunks(shared, topic, partition, offset, log.ends().high).next().transpose()? {
        Some(chunk) => chunk.bytes_before(offset).map_err(engine),
        None => Ok(log.end().bytes),
    }
}
