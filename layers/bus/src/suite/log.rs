//! What is written is read back, in order and where it belongs.

use super::{read_all, record, text, topic, write};
use crate::{Bus, BusError, NewRecord, TopicPartition, TopicSpec, limits, partition_of};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Creating again changes nothing; another number of partitions and bad names are refused.
pub async fn topics_are_created_once(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.created", 3).await;
    write(&*bus, vec![record("suite.created", 1, "kept")]).await;
    topic(&*bus, "suite.created", 3).await;
    let ends = bus.watermarks(&TopicPartition::new("suite.created", 1)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (0, 1), "a second creation keeps the records");
    let refused = bus.create_topic(&TopicSpec::new("suite.created", 4)).await;
    assert!(matches!(refused, Err(BusError::PartitionCount { actual: 3, wanted: 4, .. })), "{refused:?}");
    for bad in [TopicSpec::new("with space", 1), TopicSpec::new("", 1), TopicSpec::new("suite.none", 0)] {
        let refused = bus.create_topic(&bad).await;
        assert!(matches!(refused, Err(BusError::Invalid(_))), "{bad:?}: {refused:?}");
    }
    let topics = bus.topics().await.expect("topics are listed");
    assert!(topics.iter().any(|spec| spec.name == "suite.created" && spec.partitions == 3));
    assert!(topics.is_sorted_by(|a, b| a.name < b.name), "topics come by name");
}

/// Keys, values, null values, headers and times are kept byte by byte; time 0 becomes the time of the append.
pub async fn records_read_back(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.fields", 1).await;
    let header = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
    let full = NewRecord {
        topic: "suite.fields".to_owned(),
        partition: None,
        key: Some(Bytes::from_static(b"\x00key\xff")),
        value: Some(Bytes::from(vec![7; 200_000])),
        headers: vec![header("a", b"1"), header("empty", b""), header("a", b"\x00\xff")],
        timestamp_ms: 1_700_000_000_123,
    };
    let gone = NewRecord { value: None, headers: Vec::new(), ..full.clone() };
    let empty = NewRecord { key: Some(Bytes::new()), value: Some(Bytes::new()), ..gone.clone() };
    let bare = NewRecord { topic: "suite.fields".to_owned(), ..NewRecord::default() };
    let written = vec![full, gone, empty, bare];
    let placed = write(&*bus, written.clone()).await;
    assert_eq!(
        placed.iter().map(|place| (place.partition, place.offset)).collect::<Vec<_>>(),
        [(0, 0), (0, 1), (0, 2), (0, 3)]
    );
    let read = read_all(&*bus, &TopicPartition::new("suite.fields", 0), 0).await;
    assert_eq!(read.len(), 4);
    for (wrote, read) in written.iter().zip(&read) {
        assert_eq!(wrote.key, read.key);
        assert_eq!(wrote.value, read.value);
        assert_eq!(wrote.headers, read.headers);
        assert!(wrote.timestamp_ms == 0 || wrote.timestamp_ms == read.timestamp_ms);
        assert_eq!(wrote.size(), read.size());
    }
    assert!(read[3].timestamp_ms > 1_700_000_000_000, "the bus took the time of the append");
    let ends = bus.watermarks(&TopicPartition::new("suite.fields", 0)).await.expect("topic exists");
    assert_eq!((ends.low, ends.high), (0, 4));
}

/// Records of one call stand side by side in order, whoever else writes; offsets are dense.
pub async fn order_is_kept(bus: Arc<dyn Bus>) {
    const WRITERS: usize = 8;
    const CALLS: usize = 20;
    topic(&*bus, "suite.order", 2).await;
    let writers = (0..WRITERS).map(|writer| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            for call in 0..CALLS {
                let records =
                    (0..6).map(|i| record("suite.order", i % 2, format!("{writer}:{call}:{}", i / 2))).collect();
                let placed = write(&*bus, records).await;
                assert!(placed.windows(3).all(|three| three[2].offset == three[0].offset + 1), "{placed:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("writer ends well");
    }
    for partition in 0..2 {
        let read = read_all(&*bus, &TopicPartition::new("suite.order", partition), 0).await;
        assert_eq!(read.len(), WRITERS * CALLS * 3);
        assert!(read.iter().enumerate().all(|(i, record)| record.offset == i as i64), "offsets are dense");
        let mut calls = [0; WRITERS];
        for call in read.chunks(3) {
            let texts: Vec<String> = call.iter().map(text).collect();
            let writer: usize = texts[0].split(':').next().and_then(|text| text.parse().ok()).expect("own text");
            let wanted: Vec<String> = (0..3).map(|i| format!("{writer}:{}:{i}", calls[writer])).collect();
            assert_eq!(texts, wanted, "calls stay whole and in order");
            calls[writer] += 1;
        }
    }
}

/// The key decides the partition by murmur2, unless one is named; without either it is 0.
pub async fn placement_follows_the_key(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.placed", 8).await;
    let keyed =
        |key: String| NewRecord { partition: None, key: Some(Bytes::from(key)), ..record("suite.placed", 0, "v") };
    let records: Vec<NewRecord> = (0..64).map(|i| keyed(format!("member-{i}"))).collect();
    let placed = write(&*bus, records.clone()).await;
    for (record, place) in records.iter().zip(&placed) {
        assert_eq!(place.partition, partition_of(record.key.as_ref().expect("keyed"), 8));
    }
    assert!(placed.iter().map(|place| place.partition).collect::<BTreeSet<_>>().len() > 4, "keys spread");
    let named = NewRecord { partition: Some(5), ..keyed("member-0".to_owned()) };
    let bare = NewRecord { partition: None, ..record("suite.placed", 0, "v") };
    let placed = write(&*bus, vec![named, bare]).await;
    assert_eq!((placed[0].partition, placed[1].partition), (5, 0));
}

/// What is too large or goes nowhere is refused, and nothing of the call is written.
pub async fn limits_are_kept(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.limits", 1).await;
    let good = || record("suite.limits", 0, "good");
    let large = NewRecord { value: Some(Bytes::from(vec![0; limits::MAX_RECORD_BYTES])), ..good() };
    let refused = bus.produce(vec![good(), large]).await;
    assert!(matches!(refused, Err(BusError::TooLarge { limit: limits::MAX_RECORD_BYTES, .. })), "{refused:?}");
    let refused = bus.produce(vec![good(), record("suite.nowhere", 0, "v")]).await;
    assert!(matches!(refused, Err(BusError::UnknownTopic(_))), "{refused:?}");
    for partition in [-1, 1, i32::MAX] {
        let refused = bus.produce(vec![good(), record("suite.limits", partition, "v")]).await;
        assert!(matches!(refused, Err(BusError::UnknownPartition { .. })), "{refused:?}");
    }
    let refused = bus.produce(vec![NewRecord { timestamp_ms: -1, ..good() }]).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
    let header = ("name".to_owned(), Bytes::new());
    let refused = bus.produce(vec![NewRecord { headers: vec![header; 65], ..good() }]).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
    let fits = NewRecord { value: Some(Bytes::from(vec![0; limits::MAX_RECORD_BYTES - 18])), ..good() };
    let placed = write(&*bus, vec![fits]).await;
    assert_eq!(placed[0].offset, 0, "nothing of a refused call was written");
    assert_eq!(write(&*bus, Vec::new()).await, [], "an empty call is fine");
}
