//! `at_least`: a read waits for its write, all the way, and no longer than told.

use crate::house::{House, MEMBER, bus, features, member, record};
use bus::{Bus, MemoryBus, Step, TopicPartition};
use model::{Position, topic};
use serde_json::json;
use serving::ServingError;
use serving::freshness::await_token;
use std::collections::BTreeMap;
use std::time::Duration;

/// Says that a group has read everything of some topics.
async fn commit_all(bus: &MemoryBus, group: &str, of: impl Fn(&str) -> bool) {
    let mut consumed = Vec::new();
    for (name, partitions) in topic::all().into_iter().filter(|(name, _)| of(name)) {
        for partition in 0..partitions {
            let at = TopicPartition::new(name.clone(), partition);
            let high = bus.watermarks(&at).await.unwrap().high;
            consumed.push((at, high));
        }
    }
    bus.step(Step { group: group.to_owned(), consumed, ..Step::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_capture_processing_and_the_loop() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let token = Position::Wal(50);
    let short = Duration::from_millis(60);
    let wait = |at_most| await_token(bus.as_ref(), &house.profiles_progress, &token, at_most);
    assert!(matches!(wait(short).await, Err(ServingError::NotYet(_))));
    bus.produce(vec![member(50, "active")]).await.unwrap();
    assert!(matches!(wait(short).await, Err(ServingError::NotYet(_))), "capture has not said so");
    bus.produce(vec![record(topic::CAPTURE_PROGRESS, "", Some(&json!({"lsn": 50, "ts_us": 1})))]).await.unwrap();
    assert!(matches!(wait(short).await, Err(ServingError::NotYet(_))), "nobody has identified it");
    commit_all(&bus, "processing.identify", |name| name.starts_with("crm.") || name == topic::EVENTS).await;
    let person = format!("m:{MEMBER}");
    bus.produce(vec![crate::house::event(1, &person, "a:v")]).await.unwrap();
    let fold = async {
        bus.produce(vec![features(&person, 3)]).await.unwrap();
        commit_all(&bus, "processing.fold", |name| name == topic::SIGNALS).await;
    };
    let (waited, ()) = tokio::join!(wait(Duration::from_secs(20)), fold);
    waited.unwrap();
    assert_eq!(house.profiles.get(&person).unwrap().unwrap()["features"]["views_24h"], 3);
    await_token(bus.as_ref(), &house.analytics_progress, &token, Duration::from_secs(20)).await.unwrap();
    assert_eq!(house.ask("select count(*) from members").await, "[[1]]");
    house.settled().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_tokens_wait_for_their_offsets_and_strange_ones_are_refused() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let wait = |offsets, at_most| {
        let (bus, progress) = (bus.clone(), house.analytics_progress.clone());
        async move { await_token(bus.as_ref(), &progress, &Position::Events(BTreeMap::from([offsets])), at_most).await }
    };
    assert!(matches!(wait((0, 0), Duration::from_millis(50)).await, Err(ServingError::NotYet(_))));
    bus.produce(vec![bus::NewRecord { partition: Some(0), ..record(topic::EVENTS, "v", Some(&json!({}))) }])
        .await
        .unwrap();
    commit_all(&bus, "processing.identify", |name| name == topic::EVENTS).await;
    wait((0, 0), Duration::from_secs(20)).await.unwrap();
    assert!(matches!(wait((-1, 0), Duration::from_secs(1)).await, Err(ServingError::Request(_))));
    assert!(matches!(wait((999, 0), Duration::from_secs(1)).await, Err(ServingError::Request(_))));
    assert!(matches!(wait((0, i64::MAX), Duration::from_millis(30)).await, Err(ServingError::NotYet(_))));
    house.stop().await;
}
