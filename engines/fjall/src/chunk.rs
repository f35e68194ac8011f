//! Chunks: records of one partition that were committed together, in one value.
//!
//! One value for many records costs the database far less than one for each. A chunk is its records, then a footer:
//!
//! record: time i64, key length i32 (-1: none), value length i32 (-1: none), headers u16,
//! per header name length u16, name, value length u32, value; then key, value.
//!
//! footer: count u32, newest time in the chunk i64, newest time in the partition so far i64, bytes of the partition so far u64.
//!
//! The last two never fall along the log, so the log can be searched by time and by size.

use bus::{NewRecord, Record, TopicPartition};
use bytes::{Buf, Bytes};

/// About the most bytes of a chunk: large enough to be cheap, small enough to be read for one record.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
const FOOTER_BYTES: usize = 28;

/// A value that does not read as a chunk.
#[derive(Debug, thiserror::Error)]
#[error("a chunk of the log does not read; check the disk")]
pub(crate) struct BadChunk;

/// Records of one partition whose offsets are not known yet.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) newest_ms: i64,
}

impl Draft {
    /// Adds a record; `now_ms` is its time if it has none.
    pub(crate) fn push(&mut self, record: &NewRecord, now_ms: i64) {
        let time = if record.timestamp_ms == 0 { now_ms } else { record.timestamp_ms };
        let length = |part: &Option<Bytes>| part.as_ref().map_or(-1, |part| part.len() as i32);
        let out = &mut self.bytes;
        out.reserve(record.size() + FOOTER_BYTES);
        out.extend_from_slice(&time.to_be_bytes());
        out.extend_from_slice(&length(&record.key).to_be_bytes());
        out.extend_from_slice(&length(&record.value).to_be_bytes());
        out.extend_from_slice(&(record.headers.len() as u16).to_be_bytes());
        for (name, value) in &record.headers {
            out.extend_from_slice(&(name.len() as u16).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
        out.extend_from_slice(record.key.as_deref().unwrap_or_default());
        out.extend_from_slice(record.value.as_deref().unwrap_or_default());
        self.count += 1;
        self.newest_ms = self.newest_ms.max(time);
    }

    /// Whether another draft still fits into the same chunk.
    pub(crate) fn takes(&self, other: &Self) -> bool {
        self.bytes.len() + other.bytes.len() <= CHUNK_BYTES
    }

    /// Adds the records of another draft.
    pub(crate) fn append(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
        self.newest_ms = self.newest_ms.max(other.newest_ms);
    }

    /// Makes the chunk's value. `footer` says where the partition stands behind it.
    pub(crate) fn seal(mut self, reached_ms: i64, bytes_end: u64) -> Vec<u8> {
        self.bytes.extend_from_slice(&self.count.to_be_bytes());
        self.bytes.extend_from_slice(&self.newest_ms.to_be_bytes());
        self.bytes.extend_from_slice(&reached_ms.to_be_bytes());
        self.bytes.extend_from_slice(&bytes_end.to_be_bytes());
        self.bytes
    }
}

/// A chunk as read.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Its first offset.
    pub(crate) first: i64,
    /// Its last offset.
    pub(crate) last: i64,
    /// The newest time in it.
    pub(crate) newest_ms: i64,
    /// The newest time in the partition up to its end.
    pub(crate) reached_ms: i64,
    /// Bytes of the partition up to its end, since offset 0.
    pub(crate) bytes_end: u64,
    /// Its records.
    pub(crate) records: Bytes,
}

impl Chunk {
    /// Reads a chunk's footer.
    pub(crate) fn open(last: i64, value: &Bytes) -> Result<Self, BadChunk> {
        let split = value.len().checked_sub(FOOTER_BYTES).ok_or(BadChunk)?;
        let mut footer = &value[split..];
        let count = i64::from(footer.get_u32());
        let (newest_ms, reached_ms, bytes_end) = (footer.get_i64(), footer.get_i64(), footer.get_u64());
        let first = last - count + 1;
        if count == 0 || first < 0 || bytes_end < split as u64 {
            return Err(BadChunk);
        }
        Ok(Self { first, last, newest_ms, reached_ms, bytes_end, records: value.slice(..split) })
    }

    /// Reads records from an offset on into `into`, until it holds `max_records` or the bytes left are used up. The record that
    /// uses them up is still read, so that there is at least one.
    pub(crate) fn read(
        &self,
        at: &TopicPartition,
        from: i64,
        into: &mut Vec<Record>,
        max_records: usize,
        bytes_left: &mut usize,
    ) -> Result<(), BadChunk> {
        let mut rest = self.records.clone();
        for offset in self.first..=self.last {
            if into.len() >= max_records || (*bytes_left == 0 && !into.is_empty()) {
                return Ok(());
            }
            let raw = Raw::take(&mut rest)?;
            if offset >= from {
                *bytes_left = bytes_left.saturating_sub(raw.size);
                into.push(raw.record(at, offset)?);
            }
        }
        Ok(())
    }

    /// The first offset from `from` on whose time is at or after `time_ms`.
    pub(crate) fn find_time(&self, from: i64, time_ms: i64) -> Result<Option<i64>, BadChunk> {
        let mut rest = self.records.clone();
        for offset in self.first..=self.last {
            if Raw::take(&mut rest)?.time_ms >= time_ms && offset >= from {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// Bytes of the partition before an offset of this chunk.
    pub(crate) fn bytes_before(&self, offset: i64) -> Result<u64, BadChunk> {
        let mut rest = self.records.clone();
        for _ in self.first..offset.min(self.last + 1) {
            Raw::take(&mut rest)?;
        }
        Ok(self.bytes_end - rest.len() as u64)
    }
}

/// A record whose parts are not taken apart yet.
struct Raw {
    time_ms: i64,
    size: usize,
    header_count: u16,
    headers: Bytes,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

impl Raw {
    fn take(rest: &mut Bytes) -> Result<Self, BadChunk> {
        let before = rest.len();
        if before < 18 {
            return Err(BadChunk);
        }
        let (time_ms, key, value, header_count) = (rest.get_i64(), rest.get_i32(), rest.get_i32(), rest.get_u16());
        let start = rest.clone();
        for _ in 0..header_count {
            let name = rest.try_get_u16().map_err(|_| BadChunk)?;
            split(rest, usize::from(name))?;
            let value = rest.try_get_u32().map_err(|_| BadChunk)?;
            split(rest, value as usize)?;
        }
        let headers = start.slice(..start.len() - rest.len());
        let (key, value) = (part(rest, key)?, part(rest, value)?);
        Ok(Self { time_ms, size: before - rest.len(), header_count, headers, key, value })
    }

    fn record(mut self, at: &TopicPartition, offset: i64) -> Result<Record, BadChunk> {
        let mut headers = Vec::with_capacity(usize::from(self.header_count));
        for _ in 0..self.header_count {
            let length = usize::from(self.headers.get_u16());
            let name = split(&mut self.headers, length)?;
            let name = String::from_utf8(name.into()).map_err(|_| BadChunk)?;
            let length = self.headers.get_u32() as usize;
            headers.push((name, split(&mut self.headers, length)?));
        }
        let Self { time_ms: timestamp_ms, key, value, .. } = self;
        Ok(Record { at: at.clone(), offset, timestamp_ms, key, value, headers })
    }
}

fn part(rest: &mut Bytes, length: i32) -> Result<Option<Bytes>, BadChunk> {
    match usize::try_from(length) {
        Ok(length) => split(rest, length).map(Some),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(BadChunk),
    }
}

fn split(rest: &mut Bytes, length: usize) -> Result<Bytes, BadChunk> {
    if length > rest.len() {
        return Err(BadChunk);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<NewRecord> {
        let bare = NewRecord { topic: "t".to_owned(), ..NewRecord::default() };
        let header = |name: &str| (name.to_owned(), Bytes::from_static(b"\x00v"));
        vec![
            NewRecord {
                timestamp_ms: 70,
                key: Some(Bytes::from_static(b"k")),
                value: Some(Bytes::new()),
                ..bare.clone()
            },
            NewRecord { timestamp_ms: 50, headers: vec![header(""), header("ü")], ..bare.clone() },
            NewRecord { value: Some(Bytes::from(vec![9; 300])), ..bare },
        ]
    }

    fn value() -> Bytes {
        let mut draft = Draft::default();
        for record in records() {
            draft.push(&record, 60);
        }
        let size = draft.bytes.len() as u64;
        assert_eq!(size, records().iter().map(|record| record.size() as u64).sum::<u64>(), "sizes agree with the bus'");
        Bytes::from(draft.seal(90, 1000 + size))
    }

    #[test]
    fn chunks_read_back() {
        let chunk = Chunk::open(12, &value()).unwrap();
        assert_eq!((chunk.first, chunk.last, chunk.newest_ms, chunk.reached_ms), (10, 12, 70, 90));
        let at = TopicPartition::new("t", 0);
        let mut read = Vec::new();
        chunk.read(&at, 10, &mut read, 10, &mut 10_000).unwrap();
        assert_eq!(
            read.iter().map(|record| (record.offset, record.timestamp_ms)).collect::<Vec<_>>(),
            [(10, 70), (11, 50), (12, 60)]
        );
        for (read, wrote) in read.iter().zip(records()) {
            assert_eq!((&read.key, &read.value, &read.headers), (&wrote.key, &wrote.value, &wrote.headers));
        }
        assert_eq!(chunk.find_time(10, 60).unwrap(), Some(10));
        assert_eq!(chunk.find_time(11, 60).unwrap(), Some(12));
        assert_eq!(chunk.find_time(10, 71).unwrap(), None);
        assert_eq!(chunk.bytes_before(10).unwrap(), 1000);
        assert_eq!(chunk.bytes_before(11).unwrap(), 1019);
        assert_eq!(chunk.bytes_before(13).unwrap(), chunk.bytes_end);
    }

    /// A chunk has no checksum of its own: fjall's journal and blocks have theirs. A chunk only has to fail well.
    #[test]
    fn damage_is_no_panic() {
        let whole = value();
        let at = TopicPartition::new("t", 0);
        for cut in 0..whole.len() {
            let mut damaged = whole[..cut].to_vec();
            for byte in 0..2 {
                if let Ok(chunk) = Chunk::open(2, &Bytes::from(damaged.clone())) {
                    let _ = chunk.read(&at, 0, &mut Vec::new(), 10, &mut 10_000);
                    let _ = chunk.find_time(0, i64::MAX);
                    let _ = chunk.bytes_before(3);
                }
                damaged.extend_from_slice(&whole[cut + byte..]);
                damaged[cut.min(whole.len() - 2)] ^= 0xff;
            }
        }
    }
}
