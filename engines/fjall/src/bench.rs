//! The reference for benches: what fjall itself does with the same bytes, without a bus around it.

use crate::StoreError;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::time::{Duration, Instant};

/// Appends records of `record_bytes` random-looking bytes in batches of `batch`, each batch synced, for some time. The
/// database stays in `dir`. Returns records a second.
///
/// # Errors
/// When the directory cannot be opened or written.
pub fn raw_append(dir: &Path, record_bytes: usize, batch: usize, time: Duration) -> Result<f64, StoreError> {
    append(dir, record_bytes, batch.max(1), time).map_err(|error| StoreError::open(dir, error))
}

fn append(dir: &Path, record_bytes: usize, batch: usize, time: Duration) -> fjall::Result<f64> {
    let db = Database::builder(dir).worker_threads(2).open()?;
    let log = db.keyspace("raw", KeyspaceCreateOptions::default)?;
    let value = noise(record_bytes);
    let (begun, mut offset) = (Instant::now(), 0_u64);
    while begun.elapsed() < time {
        let mut writes = db.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..batch {
            writes.insert(&log, offset.to_be_bytes(), &value[..]);
            offset += 1;
        }
        writes.commit()?;
    }
    Ok(offset as f64 / begun.elapsed().as_secs_f64())
}

/// Bytes that do not compress (xorshift), the same at every call.
#[must_use]
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}
