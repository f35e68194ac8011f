//! The conformance suite: what every engine must do, checked through the trait alone.
//!
//! [`run`] runs every case; each case is public, so that an engine can also run them one by one. Topics and groups have names
//! of their own in each case: one bus may serve all. What survives the end of a bus is in [`survival`].
//!
//! Cases fail by panicking, as tests do.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "cases fail by panicking")]

mod groups;
mod log;
mod replay;
mod retention;
mod steps;
pub mod survival;

pub use groups::{dead_members_are_evicted, groups_share_and_resume, stale_generations_are_refused};
pub use log::{limits_are_kept, order_is_kept, placement_follows_the_key, records_read_back, topics_are_created_once};
pub use replay::{offsets_are_checked, replay_from_offset, replay_from_time, waits_wake_and_time_out};
pub use retention::{retention_by_bytes, retention_by_time, trim_moves_the_low_watermark};
pub use steps::{
    concurrent_steps_keep_order, offsets_follow_their_records, state_reads_back, steps_are_whole_or_nothing,
    steps_show_everywhere_at_once,
};

use crate::{Bus, NewRecord, Placed, Record, TopicPartition, TopicSpec};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long a case waits for something that must come about: long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The session time-out in the case where a member dies.
const SHORT_SESSION: Duration = Duration::from_millis(300);
/// The session time-out elsewhere: nobody dies of a slow machine.
const LONG_SESSION: Duration = Duration::from_secs(120);

/// What is left of a bus when its last handle is dropped and its place is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing: the engine lives in memory.
    Nothing,
    /// All that was acknowledged.
    Acknowledged,
}

/// Runs every case, each on a bus that `open` returns for a place and a session time-out. A place that is opened again holds
/// what it kept; no other bus is open on it then.
///
/// # Panics
/// When the engine does not conform.
pub async fn run(open: impl AsyncFn(usize, Duration) -> Arc<dyn Bus>, keeps: Keeps) {
    let places = std::cell::Cell::new(0);
    let place = || places.replace(places.get() + 1);
    let usual = async || open(place(), LONG_SESSION).await;
    topics_are_created_once(usual().await).await;
    records_read_back(usual().await).await;
    order_is_kept(usual().await).await;
    placement_follows_the_key(usual().await).await;
    limits_are_kept(usual().await).await;
    replay_from_offset(usual().await).await;
    replay_from_time(usual().await).await;
    offsets_are_checked(usual().await).await;
    waits_wake_and_time_out(usual().await).await;
    groups_share_and_resume(usual().await).await;
    stale_generations_are_refused(usual().await).await;
    dead_members_are_evicted(open(place(), SHORT_SESSION).await).await;
    steps_are_whole_or_nothing(usual().await).await;
    concurrent_steps_keep_order(usual().await).await;
    offsets_follow_their_records(usual().await).await;
    steps_show_everywhere_at_once(usual().await).await;
    state_reads_back(usual().await).await;
    trim_moves_the_low_watermark(usual().await).await;
    retention_by_time(usual().await).await;
    retention_by_bytes(usual().await).await;
    if keeps == Keeps::Acknowledged {
        let place = place();
        survival::a_restart_finds_everything(async || open(place, LONG_SESSION).await).await;
        survival::steps_cut_short_are_whole(async || open(place, LONG_SESSION).await).await;
    }
}

/// Creates a topic.
async fn topic(bus: &dyn Bus, name: &str, partitions: i32) {
    bus.create_topic(&TopicSpec::new(name, partitions)).await.expect("topic is created");
}

/// A record of a partition, with a text as its value.
fn record(topic: &str, partition: i32, value: impl Into<String>) -> NewRecord {
    NewRecord {
        topic: topic.to_owned(),
        partition: Some(partition),
        value: Some(Bytes::from(value.into())),
        ..NewRecord::default()
    }
}

/// Writes records.
async fn write(bus: &dyn Bus, records: Vec<NewRecord>) -> Vec<Placed> {
    bus.produce(records).await.expect("records are written")
}

/// Reads everything from an offset on, fetch by fetch.
async fn read_all(bus: &dyn Bus, at: &TopicPartition, mut from: i64) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let records = bus.fetch(at, from, 100, 1 << 20).await.expect("records are read");
        let Some(last) = records.last() else { return all };
        from = last.offset + 1;
        all.extend(records);
    }
}

/// The value of a record as text.
fn text(record: &Record) -> String {
    record.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}
