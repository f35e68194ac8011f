//! Records on their way to the bus.

use bus::NewRecord;

/// What goes to the bus in one commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<NewRecord>,
    bytes: usize,
    /// Changes in it; a truncate counts once, though it stands in every partition.
    pub(crate) changes: u64,
    /// Oldest time of commit in it, microseconds since 1970 UTC.
    pub(crate) oldest_us: Option<i64>,
}

impl Batch {
    pub(crate) fn push(&mut self, record: NewRecord) {
        self.bytes +=
            record.value.as_ref().map_or(0, bytes::Bytes::len) + record.key.as_ref().map_or(0, bytes::Bytes::len);
        self.records.push(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn is_full(&self, records: usize, bytes: usize) -> bool {
        self.records.len() >= records || self.bytes >= bytes
    }
}
