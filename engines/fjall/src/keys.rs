//! Keys: what lies where on the disk. Numbers are big-endian, so that keys sort as numbers do.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | log | topic id u32, partition u32, **last** offset of the chunk u64 | a chunk of records |
//! | state | namespace, 0, key | value |
//! | meta | `v` | format version |
//! | meta | `t`, topic name | id, partitions, retention |
//! | meta | `m`, topic id, partition | where trimming stands |
//! | meta | `o`, topic id, partition, group | next offset to read |
//!
//! A chunk stands under its last offset: the chunk that holds an offset is then the first one at or after that key.

/// Version of this layout.
pub(crate) const FORMAT: u8 = 1;
/// Key of the format version.
pub(crate) const FORMAT_KEY: &[u8] = b"v";
/// Prefix of topics.
pub(crate) const TOPIC: u8 = b't';
/// Prefix of marks.
pub(crate) const MARK: u8 = b'm';
/// Prefix of offsets.
pub(crate) const OFFSET: u8 = b'o';

/// Key of a chunk.
pub(crate) fn chunk(topic: u32, partition: u32, last: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..8].copy_from_slice(&partition.to_be_bytes());
    key[8..].copy_from_slice(&last.to_be_bytes());
    key
}

/// The offset in a chunk's key.
pub(crate) fn chunk_last(key: &[u8]) -> Option<i64> {
    let bytes = key.get(8..16)?.try_into().ok()?;
    Some(i64::from_be_bytes(bytes))
}

/// Key of a topic.
pub(crate) fn topic(name: &str) -> Vec<u8> {
    [&[TOPIC], name.as_bytes()].concat()
}

/// Key of a partition's mark.
pub(crate) fn mark(topic: u32, partition: u32) -> Vec<u8> {
    [&[MARK][..], &topic.to_be_bytes(), &partition.to_be_bytes()].concat()
}

/// Key of a group's offset.
pub(crate) fn offset(topic: u32, partition: u32, group: &str) -> Vec<u8> {
    [&[OFFSET][..], &topic.to_be_bytes(), &partition.to_be_bytes(), group.as_bytes()].concat()
}

/// Key of a state value. A namespace holds no zero byte, so namespaces do not mix.
pub(crate) fn state(namespace: &str, key: &[u8]) -> Vec<u8> {
    [namespace.as_bytes(), &[0], key].concat()
}

/// First key behind all of a namespace.
pub(crate) fn state_end(namespace: &str) -> Vec<u8> {
    [namespace.as_bytes(), &[1]].concat()
}
