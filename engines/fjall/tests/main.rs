//! The embedded engine on a real disk: the conformance suite, restarts, crashes, syncs, a disk that fails.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod crash;
mod differential;
mod failure;
mod restart;
#[cfg(target_os = "linux")]
mod sync;

use bus::suite::Keeps;
use bus::{Bus, NewRecord, Record, TopicPartition};
use bytes::Bytes;
use engine_fjall::{Options, Store};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn conforms_with_a_tail_in_memory() {
    conforms(Options::default()).await;
}

/// Every read comes from the database.
#[tokio::test(flavor = "multi_thread")]
async fn conforms_without_a_tail() {
    conforms(Options { tail_mib: 0, ..Options::default() }).await;
}

async fn conforms(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let open = async |place: usize, session: Duration| {
        let options = Options { session_timeout_ms: session.as_millis() as u64, ..options.clone() };
        Store::open(&dir.path().join(place.to_string()), options).unwrap().bus() as Arc<dyn Bus>
    };
    bus::suite::run(open, Keeps::Acknowledged).await;
}

/// A record of a partition.
fn record(topic: &str, partition: i32, value: impl Into<Bytes>) -> NewRecord {
    NewRecord { topic: topic.to_owned(), partition: Some(partition), value: Some(value.into()), ..NewRecord::default() }
}

/// All of a partition, from its low watermark on.
async fn read_all(bus: &dyn Bus, at: &TopicPartition) -> Vec<Record> {
    let mut from = bus.watermarks(at).await.unwrap().low;
    let mut all = Vec::new();
    loop {
        let records = bus.fetch(at, from, 1000, 1 << 20).await.unwrap();
        let Some(last) = records.last() else { return all };
        from = last.offset + 1;
        all.extend(records);
    }
}
