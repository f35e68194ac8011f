//! Write keys come and go by the bus alone.

use crate::house::{House, KEY, key_change, until, view};
use bus::{Bus, NewRecord, TopicPartition};
use gateway::Config;
use model::topic;
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn until_the_keys_are_read_the_door_says_later() {
    let house = House::closed(Config::default()).await;
    let status = async || house.post("t").body(r#"{"event":"A","userId":"u"}"#).send().await.unwrap();
    let response = status().await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, &"1")
    );
    house.create_topics().await;
    house.follow();
    // Capture begins its first snapshot, is cut short, and begins again: the key may come yet.
    let waits = |times| {
        let bus = &house.bus;
        async move || bus.waits_for_capture.load(Ordering::SeqCst) >= times
    };
    until("it waits for capture", waits(1)).await;
    assert_eq!(status().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    house.tell_progress(0).await;
    until("it waits on", waits(2)).await;
    assert_eq!(status().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    house.tell_progress(7).await;
    until("the snapshot is complete", async || house.gateway.is_ready()).await;
    assert_eq!(status().await.status(), StatusCode::UNAUTHORIZED);
    house.tell_key("c", 1, 1, KEY, false).await;
    until("the new key is known", async || status().await.status() == StatusCode::OK).await;
}

#[tokio::test]
async fn revoked_and_deleted_keys_vanish() {
    let house = House::open().await;
    let works = async |key: &str| {
        let body = json!({"batch": [view("a", "m")], "writeKey": key}).to_string();
        house.http.post(format!("{}/v1/b", house.url)).body(body).send().await.unwrap().status() == StatusCode::OK
    };
    house.tell_key("c", 2, 2, "second", false).await;
    until("the second key works", async || works("second").await).await;
    house.tell_key("u", 3, 1, KEY, true).await;
    until("the first is revoked", async || !works(KEY).await).await;
    assert!(works("second").await);
    house.tell_key("d", 4, 2, "second", false).await;
    until("the second is deleted", async || !works("second").await).await;
}

#[tokio::test]
async fn a_snapshot_taken_again_keeps_every_key_that_is_still_there() {
    let house = House::closed(Config::default()).await;
    house.create_topics().await;
    house.tell_key("c", 1, 1, KEY, false).await;
    let at = |partition, record: NewRecord| NewRecord { partition: Some(partition), ..record };
    // The slot was lost: one truncate in every partition, then the rows as they are now.
    for partition in 0..4 {
        house.produce(at(partition, key_change("t", 9, 0, "", false))).await;
    }
    let mut partitions = BTreeSet::new();
    for id in 2..40 {
        partitions.insert(house.produce(key_change("r", 10, id, &format!("k{id}"), false)).await.partition);
    }
    assert_eq!(partitions.len(), 4);
    let works = async |key: &str| {
        let request = house.http.get(format!("{}/v1/projects/{key}/settings", house.url));
        request.send().await.unwrap().status() == StatusCode::OK
    };
    house.tell_progress(10).await;
    house.follow();
    until("it is ready", async || house.gateway.is_ready()).await;
    assert!(!works(KEY).await, "it is no longer in the table");
    for id in 2..40 {
        assert!(works(&format!("k{id}")).await, "k{id}");
    }
}

#[tokio::test]
async fn nonsense_and_trimmed_records_do_not_stop_it() {
    let house = House::closed(Config::default()).await;
    house.create_topics().await;
    for partition in 0..4 {
        let record = NewRecord {
            topic: topic::crm("write_key"),
            partition: Some(partition),
            value: Some("no change".into()),
            ..NewRecord::default()
        };
        house.bus.produce(vec![record; 2]).await.unwrap();
        house.bus.trim(&TopicPartition::new(topic::crm("write_key"), partition), 1).await.unwrap();
    }
    house.tell_key("c", 1, 1, KEY, false).await;
    house.tell_progress(1).await;
    house.follow();
    until("it is ready", async || house.gateway.is_ready()).await;
    assert_eq!(house.send("batch", &json!({"batch": [view("a", "m")]})).await.0, StatusCode::OK);
}
