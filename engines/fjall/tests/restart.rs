//! What a restart finds.

use crate::{read_all, record, text};
use bus::{Bus, BusError, StateChange, Step, TopicPartition, TopicSpec};
use bytes::Bytes;
use engine_fjall::{Options, Store, StoreError};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let at = |partition| TopicPartition::new("t", partition);
    let spec = TopicSpec {
        retention: Some(Duration::from_secs(60)),
        retention_bytes: Some(1 << 30),
        ..TopicSpec::new("t", 3)
    };
    for round in 0..4 {
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let bus = store.bus();
        bus.create_topic(&spec).await.unwrap();
        assert_eq!(bus.topics().await.unwrap(), std::slice::from_ref(&spec), "retention included");
        assert_eq!(bus.committed("g", &at(0)).await.unwrap(), (round > 0).then_some(round * 10));
        let key = |round: i64| Bytes::copy_from_slice(&round.to_be_bytes());
        assert_eq!(bus.state_scan("s", &[], 100).unwrap().len() as i64, round);
        let step = Step {
            group: "g".to_owned(),
            consumed: vec![(at(0), (round + 1) * 10)],
            state: vec![StateChange { namespace: "s".to_owned(), key: key(round), value: Some(key(round)) }],
            produce: (0..10).flat_map(|i| (0..2).map(move |p| record("t", p, format!("{}", round * 10 + i)))).collect(),
            generation: None,
        };
        bus.step(step).await.unwrap();
        // Partition 0 is trimmed in the middle, partition 1 is emptied, partition 2 never had anything.
        bus.trim(&at(0), round * 10 + 5).await.unwrap();
        bus.trim(&at(1), (round + 1) * 10).await.unwrap();
        for (partition, low, high) in
            [(0, round * 10 + 5, (round + 1) * 10), (1, (round + 1) * 10, (round + 1) * 10), (2, 0, 0)]
        {
            let ends = bus.watermarks(&at(partition)).await.unwrap();
            assert_eq!((ends.low, ends.high), (low, high), "round {round}, partition {partition}");
        }
        drop((store, bus));

        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        for (partition, low, high) in
            [(0, round * 10 + 5, (round + 1) * 10), (1, (round + 1) * 10, (round + 1) * 10), (2, 0, 0)]
        {
            let ends = bus.watermarks(&at(partition)).await.unwrap();
            assert_eq!((ends.low, ends.high), (low, high), "reopened: round {round}, partition {partition}");
            let read: Vec<String> = read_all(&*bus, &at(partition)).await.iter().map(text).collect();
            assert_eq!(read, (low..high).map(|i| i.to_string()).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_counts_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    for reopened in [false, true] {
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let bus = store.bus();
        if !reopened {
            bus.create_topic(&TopicSpec::new("t", 2)).await.unwrap();
            bus.produce((0..10).map(|i| record("t", i % 2, vec![0; 82])).collect()).await.unwrap();
            bus.trim(&TopicPartition::new("t", 0), 2).await.unwrap();
        }
        let usage = store.usage();
        assert_eq!(usage.len(), 1);
        assert_eq!((usage[0].records, usage[0].written, usage[0].bytes), (8, 10, 800), "reopened: {reopened}");
        assert!(store.disk_bytes().unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert!(matches!(Store::open(dir.path(), Options::default()), Err(StoreError::InUse(_))));
    let bus = store.bus();
    bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    let member = bus.join("g", &["t".to_owned()]).await.unwrap();
    drop((store, bus));
    assert!(Store::open(dir.path(), Options::default()).is_err(), "a member still holds it");
    drop(member);
    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    let unknown = bus.watermarks(&TopicPartition::new("other", 0)).await;
    assert!(matches!(unknown, Err(BusError::UnknownTopic(_))));
}
