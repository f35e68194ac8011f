//! Trimming and retention: what goes, what stays, and that offsets never come again.

use super::{read_all, record, text, write};
use crate::{Bus, BusError, NewRecord, TopicPartition, TopicSpec};
use std::sync::Arc;
use std::time::Duration;

/// Trimming moves the low watermark for good; an emptied partition goes on where it stood.
pub async fn trim_moves_the_low_watermark(bus: Arc<dyn Bus>) {
    bus.create_topic(&TopicSpec::new("suite.trim", 1)).await.expect("topic is created");
    let at = TopicPartition::new("suite.trim", 0);
    let ends = async || bus.watermarks(&at).await.map(|ends| (ends.low, ends.high)).expect("topic exists");
    for call in 0..10 {
        write(&*bus, (0..10).map(|i| record("suite.trim", 0, (call * 10 + i).to_string())).collect()).await;
    }
    for (before, low) in [(0, 0), (25, 25), (13, 25), (-1, 25), (30, 30)] {
        bus.trim(&at, before).await.expect("trims");
        assert_eq!(ends().await, (low, 100), "trimmed before {before}");
        let refused = bus.fetch(&at, low - 1, 1, 1).await;
        assert!(matches!(refused, Err(BusError::OffsetOutOfRange { .. })), "{refused:?}");
        let read = read_all(&*bus, &at, low).await;
        assert_eq!((text(&read[0]), read.len() as i64), (low.to_string(), 100 - low));
    }
    let refused = bus.trim(&at, 101).await;
    assert!(matches!(refused, Err(BusError::OffsetOutOfRange { high: 100, .. })), "{refused:?}");
    bus.trim(&at, 100).await.expect("trims");
    assert_eq!(ends().await, (100, 100), "an emptied partition keeps its place");
    assert_eq!(read_all(&*bus, &at, 100).await, []);
    assert_eq!(bus.offset_for_time(&at, 0).await.expect("topic exists"), None);
    assert!(!bus.wait(&[(at.clone(), 100)], Duration::ZERO).await.expect("waits"));
    let placed = write(&*bus, vec![record("suite.trim", 0, "after")]).await;
    assert_eq!(placed[0].offset, 100);
    assert_eq!(text(&read_all(&*bus, &at, 100).await[0]), "after");
}

/// What is older than the topic's retention goes, up to the first record that is not.
pub async fn retention_by_time(bus: Arc<dyn Bus>) {
    const NOW: i64 = 1_800_000_000_000;
    let hour = Duration::from_secs(3600);
    let spec = TopicSpec { retention: Some(hour), ..TopicSpec::new("suite.age", 2) };
    bus.create_topic(&spec).await.expect("topic is created");
    bus.create_topic(&TopicSpec::new("suite.ageless", 1)).await.expect("topic is created");
    let aged = |topic: &str, minutes: i64| NewRecord { timestamp_ms: NOW - minutes * 60_000, ..record(topic, 0, "v") };
    for minutes in [200, 100, 61, 59, 90, 1] {
        write(&*bus, vec![aged("suite.age", minutes), aged("suite.ageless", minutes)]).await;
    }
    bus.enforce_retention(NOW).await.expect("retention is enforced");
    let ends = bus.watermarks(&TopicPartition::new("suite.age", 0)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (3, 6));
    let ends = bus.watermarks(&TopicPartition::new("suite.ageless", 0)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (0, 6));
    bus.enforce_retention(NOW + hour.as_millis() as i64).await.expect("retention is enforced");
    let ends = bus.watermarks(&TopicPartition::new("suite.age", 0)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (6, 6), "all are too old by now");
    let ends = bus.watermarks(&TopicPartition::new("suite.age", 1)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (0, 0), "an empty partition stays as it is");
}

/// The oldest records beyond the topic's size go; what goes is never more than the excess.
pub async fn retention_by_bytes(bus: Arc<dyn Bus>) {
    let spec = TopicSpec { retention_bytes: Some(50_000), ..TopicSpec::new("suite.size", 1) };
    bus.create_topic(&spec).await.expect("topic is created");
    let at = TopicPartition::new("suite.size", 0);
    let value = "x".repeat(1000 - 18);
    for _ in 0..20 {
        write(&*bus, (0..5).map(|_| record("suite.size", 0, value.clone())).collect()).await;
    }
    bus.enforce_retention(0).await.expect("retention is enforced");
    let ends = bus.watermarks(&at).await.expect("topic exists");
    assert_eq!(ends.high, 100);
    assert!((45..=50).contains(&ends.low), "about 50 records of 1,000 bytes stay, not {}", 100 - ends.low);
    let low = ends.low;
    assert_eq!(read_all(&*bus, &at, low).await.len() as i64, 100 - low);
    bus.enforce_retention(0).await.expect("retention is enforced");
    assert_eq!(bus.watermarks(&at).await.expect("topic exists").low, low, "twice changes nothing");
}
