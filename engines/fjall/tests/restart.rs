//! What a restart finds, beyond what the suite asks of every engine.

use crate::record;
use bus::{Bus, BusError, TopicPartition, TopicSpec};
use engine_fjall::{Options, Store, StoreError};

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
