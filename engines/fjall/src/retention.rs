//! Trimming and retention: first the low watermark, durably; then the chunks behind it, in small batches.
//!
//! A crash between the two leaves chunks that nobody reads; the next round deletes them.

use crate::error::engine;
use crate::store::Shared;
use crate::topics::Topic;
use crate::{keys, metrics, reader};
use bus::BusError;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Deletions of one batch at most: appends wait no longer than for one of these.
const SWEEP: usize = 1000;

/// Where retention wants a partition's low watermark, as of a time; none when it may stay.
pub(crate) fn due(shared: &Shared, topic: &Topic, partition: i32, now_ms: i64) -> Result<Option<i64>, BusError> {
    let log = topic.partition(partition)?;
    let ends = shared.ends(topic, partition)?;
    if ends.low >= ends.high {
        return Ok(None);
    }
    let mut low = ends.low;
    if let Some(age) = topic.spec.retention {
        let oldest = now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        low = low.max(reader::offset_for_time(shared, topic, partition, oldest)?.unwrap_or(ends.high));
    }
    if let Some(limit) = topic.spec.retention_bytes
        && log.bytes() > limit
    {
        let excess = log.end().bytes.saturating_sub(limit);
        low = low.max(reader::offset_for_bytes(shared, topic, partition, excess)?.unwrap_or(ends.high));
    }
    Ok((low > ends.low).then_some(low))
}

/// Deletes the chunks that lie wholly below the low watermark.
pub(crate) fn sweep(shared: &Shared, topic: &Topic, partition: i32) -> Result<(), BusError> {
    let log = topic.partition(partition)?;
    let (swept, low) = (log.swept.load(Ordering::Acquire), log.ends().low);
    if swept >= low {
        return Ok(());
    }
    let index = partition.unsigned_abs();
    let range = keys::chunk(topic.id, index, swept)..keys::chunk(topic.id, index, low);
    let mut gone = shared.log.range(range).peekable();
    while gone.peek().is_some() {
        shared.healthy()?;
        let mut batch = shared.db.batch();
        for entry in gone.by_ref().take(SWEEP) {
            batch.remove(&shared.log, entry.key().map_err(engine)?);
        }
        batch.commit().map_err(|error| shared.poison(&error))?;
    }
    log.swept.fetch_max(low, Ordering::AcqRel);
    if let Some(meter) = shared.meter.get() {
        meter.count(metrics::TRIMMED, (low - swept).unsigned_abs());
    }
    Ok(())
}

/// All partitions of all topics.
pub(crate) fn partitions(shared: &Shared) -> impl Iterator<Item = (Arc<Topic>, i32)> + use<> {
    let all = shared.topics.all().into_iter();
    all.flat_map(|topic| (0..topic.spec.partitions).map(move |partition| (Arc::clone(&topic), partition)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::{Trim, Work};
    use crate::{Options, Store};
    use bus::{Bus, NewRecord, TopicPartition, TopicSpec};
    use tokio::sync::oneshot;

    fn chunks_kept(shared: &Shared) -> usize {
        shared.log.iter().count()
    }

    /// Trimming frees the disk, also what a crash between the mark and the deletions left behind.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_trimmed_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let at = TopicPartition::new("t", 0);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let bus = store.bus();
        bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
        for _ in 0..20 {
            bus.produce(vec![NewRecord { topic: "t".to_owned(), ..NewRecord::default() }; 5]).await.unwrap();
        }
        assert_eq!(chunks_kept(bus.shared()), 20);
        bus.trim(&at, 52).await.unwrap();
        assert_eq!(chunks_kept(bus.shared()), 10, "the chunk that holds offset 52 stays");
        // A mark without its deletions, as a crash leaves it.
        let topic = bus.shared().topics.find("t").unwrap();
        topic.partitions[0].trimmed(100, 1800);
        topic.partitions[0].swept.store(0, Ordering::Release);
        bus.enforce_retention(0).await.unwrap();
        assert_eq!(chunks_kept(bus.shared()), 0);
        let ends = bus.watermarks(&at).await.unwrap();
        assert_eq!((ends.low, ends.high), (100, 100));
    }

    /// Two trims were checked at once, and the lower one comes to the writer last.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_late_trim_moves_no_mark_back() {
        let dir = tempfile::tempdir().unwrap();
        let at = TopicPartition::new("t", 0);
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
        for _ in 0..20 {
            bus.produce(vec![NewRecord { topic: "t".to_owned(), ..NewRecord::default() }; 5]).await.unwrap();
        }
        bus.trim(&at, 50).await.unwrap();
        let (reply, done) = oneshot::channel();
        let topic = bus.shared().topics.find("t").unwrap();
        bus.ask(Work::Trim(Trim { topic, partition: 0, before: 30, bytes_low: 540, reply }), done).await.unwrap();
        drop(bus);
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        assert_eq!(bus.watermarks(&at).await.unwrap().low, 50);
        assert_eq!(bus.fetch(&at, 50, 1, 1).await.unwrap().len(), 1);
    }
}
