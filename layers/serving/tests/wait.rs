//! `at_least`: a read waits for its write, all the way, and no longer than told.

use crate::house::{House, MEMBER, bus, commit_all, event, features, member, processed, record, until};
use bus::{Bus, MemoryBus};
use model::{Position, topic};
use serde_json::json;
use serving::ServingError;
use serving::freshness::await_token;
use std::collections::BTreeMap;
use std::time::Duration;

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
    bus.produce(vec![event(1, &person, "a:v")]).await.unwrap();
    let fold = async {
        bus.produce(vec![features(&person, 3)]).await.unwrap();
        commit_all(&bus, "processing.fold", |name| name == topic::SIGNALS).await;
    };
    let (waited, ()) = tokio::join!(wait(Duration::from_secs(20)), fold);
    waited.unwrap();
    let position = house.profiles_progress.as_of().position;
    assert!(position >= Some(token.to_string()), "{position:?} is older than what was waited for");
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

/// A trace's state on its way to another person.
fn handover(person: &str) -> bus::NewRecord {
    let signal = json!({
        "person": person, "trace": "a:v", "occurred_at": "2024-01-01T00:00:00Z", "received_at": "2024-01-01T00:00:00Z",
        "cause": {"topic": topic::SIGNALS, "partition": 0, "offset": 0}, "body": {"handover": {"move_no": 1, "state": ""}},
    });
    record(topic::SIGNALS, person, Some(&signal))
}

/// The fold takes in what there is, and hands a trace on, `hops` times; then others' signals, which nobody has to wait for.
async fn fold_with_hops(bus: &MemoryBus, hops: usize) {
    for hop in 0..hops {
        bus.produce(vec![handover(&format!("u:{hop}"))]).await.unwrap();
        // The hop is on the bus before the step that made it counts as folded, as in one commit.
        let mut consumed = Vec::new();
        for partition in 0..topic::SHARDS {
            let at = bus::TopicPartition::new(topic::SIGNALS, partition);
            let high = bus.watermarks(&at).await.unwrap().high;
            let last = bus.fetch(&at, (high - 1).max(0), 1, 1).await.unwrap().pop();
            let newest = last.is_some_and(|last| last.key.as_deref() == Some(format!("u:{hop}").as_bytes()));
            consumed.push((at, high - i64::from(newest)));
        }
        bus.step(bus::Step { group: "processing.fold".to_owned(), consumed, ..bus::Step::default() }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    bus.produce(vec![features("m:late", 9)]).await.unwrap();
    commit_all(bus, "processing.fold", |name| name == topic::SIGNALS).await;
    bus.produce(vec![event(7, "a:other", "a:other")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_however_often_a_trace_is_handed_on() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    bus.produce(vec![record(topic::CAPTURE_PROGRESS, "", Some(&json!({"lsn": 50, "ts_us": 1})))]).await.unwrap();
    bus.produce(vec![event(1, "a:v", "a:v")]).await.unwrap();
    let token = Position::Wal(50);
    let wait = await_token(bus.as_ref(), &house.profiles_progress, &token, Duration::from_secs(20));
    let (waited, ()) = tokio::join!(wait, fold_with_hops(&bus, 4));
    waited.unwrap();
    assert_eq!(house.profiles.get("m:late").unwrap().unwrap()["features"]["views_24h"], 9);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_complete_beyond_what_processing_has_taken_in() {
    let (bus, folder) = (bus().await, tempfile::tempdir().unwrap());
    let house = House::start(bus.clone(), folder.path()).await;
    let old = model::Timestamp::from_millisecond(1_700_000_000_000).unwrap();
    let event = bus::NewRecord { timestamp_ms: old.as_millisecond(), ..record(topic::EVENTS, "v", Some(&json!({}))) };
    bus.produce(vec![event]).await.unwrap();
    for progress in [&house.analytics_progress, &house.profiles_progress] {
        until("the backlog is told", || progress.as_of().processing_lag_records == 1).await;
        let as_of = progress.as_of();
        assert_eq!((as_of.complete_to, as_of.lag_records), (Some(old), 0));
    }
    processed(&bus).await;
    for progress in [&house.analytics_progress, &house.profiles_progress] {
        until("the backlog is gone", || progress.as_of().processing_lag_records == 0).await;
        assert!(progress.as_of().complete_to > Some(old));
    }
    house.stop().await;
}
