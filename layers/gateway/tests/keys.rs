//! Write keys come and go by the bus alone.

use crate::house::{House, KEY, until, view};
use bus::{Bus, TopicPartition, TopicSpec};
use gateway::Config;
use model::topic;
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn until_the_keys_are_read_the_door_says_later() {
    let house = House::closed(Config::default()).await;
    let status = async || house.post("t").body(r#"{"event":"A","userId":"u"}"#).send().await.unwrap();
    let response = status().await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, &"1")
    );
    house.follow();
    for (name, partitions) in topic::all() {
        house.bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
    }
    until("the gateway has read an empty topic", async || house.gateway.is_ready()).await;
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
async fn nonsense_and_trimmed_records_do_not_stop_it() {
    let house = House::closed(Config::default()).await;
    for (name, partitions) in topic::all() {
        house.bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
    }
    for partition in 0..4 {
        let record = bus::NewRecord {
            topic: topic::crm("write_key"),
            partition: Some(partition),
            value: Some("no change".into()),
            ..bus::NewRecord::default()
        };
        house.bus.produce(vec![record; 2]).await.unwrap();
        house.bus.trim(&TopicPartition::new(topic::crm("write_key"), partition), 1).await.unwrap();
    }
    house.tell_key("c", 1, 1, KEY, false).await;
    house.follow();
    until("it is ready", async || house.gateway.is_ready()).await;
    assert_eq!(house.send("batch", &json!({"batch": [view("a", "m")]})).await.0, StatusCode::OK);
}
