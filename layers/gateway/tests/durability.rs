//! 2xx only after the bus said durable; busy rather than out of memory.

use crate::house::{House, until, view};
use gateway::Config;
use model::topic;
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn no_2xx_when_the_bus_fails() {
    let house = House::open().await;
    house.bus.fails.store(true, Ordering::SeqCst);
    let response = house.post("batch").body(json!({"batch": [view("a", "m"), {}]}).to_string()).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, &"1")
    );
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["retry"]), (&json!("gateway.bus"), &json!(true)));
    house.bus.fails.store(false, Ordering::SeqCst);
    assert!(house.events().await.is_empty() && house.rejected().await.is_empty());
    assert_eq!(house.send("batch", &json!({"batch": [view("a", "m")]})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_2xx_before_the_bus_answers() {
    let house = Arc::new(House::open().await);
    house.bus.holds.store(true, Ordering::SeqCst);
    let sender = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.send("batch", &json!({"batch": [view("a", "m")]})).await.0 }
    });
    until("the bus has the events", async || house.bus.held.load(Ordering::SeqCst) == 1).await;
    assert!(!sender.is_finished());
    assert!(house.events().await.is_empty());
    house.bus.release.notify_one();
    assert_eq!(sender.await.unwrap(), StatusCode::OK);
    assert_eq!(house.events().await.len(), 1);
}

#[tokio::test]
async fn a_bus_that_hangs_is_a_503() {
    let house = House::open_with(Config { produce_time_max_ms: 50, ..Config::default() }).await;
    house.bus.holds.store(true, Ordering::SeqCst);
    assert_eq!(house.send("batch", &json!({"batch": [view("a", "m")]})).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn beyond_the_bytes_in_flight_the_door_is_busy() {
    let house = Arc::new(House::open_with(Config { in_flight_bytes_max: 2_000, ..Config::default() }).await);
    house.bus.holds.store(true, Ordering::SeqCst);
    let body = json!({"batch": [view("a", "m")], "pad": "x".repeat(800)});
    let sender = tokio::spawn({
        let (house, body) = (Arc::clone(&house), body.clone());
        async move { house.send("batch", &body).await.0 }
    });
    until("the first is in work", async || house.bus.held.load(Ordering::SeqCst) == 1).await;
    let (status, problem) = house.send("batch", &body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("gateway.busy")));
    house.bus.holds.store(false, Ordering::SeqCst);
    house.bus.release.notify_one();
    assert_eq!(sender.await.unwrap(), StatusCode::OK);
    assert_eq!(house.send("batch", &body).await.0, StatusCode::OK, "the room is free again");
}

#[tokio::test]
async fn what_a_shared_context_makes_of_a_small_body_counts() {
    let house = House::open_with(Config { in_flight_bytes_max: 100_000, ..Config::default() }).await;
    let pages = |count: usize| {
        let page = json!({"type": "page", "userId": "u"});
        json!({"batch": vec![page; count], "context": {"note": "x".repeat(4_000)}})
    };
    let (status, problem) = house.send("batch", &pages(40)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("gateway.busy")));
    assert!(house.events().await.is_empty());
    assert_eq!(house.send("batch", &pages(10)).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_lose_and_double_nothing_and_keep_their_order() {
    let house = Arc::new(House::open().await);
    let senders: Vec<_> = (0..16)
        .map(|sender| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                for batch in 0..10 {
                    let events: Vec<_> = (0..20)
                        .map(|n| view(&format!("a-{sender}"), &format!("{sender}-{}", batch * 20 + n)))
                        .collect();
                    let (status, answer) = house.send("batch", &json!({ "batch": events })).await;
                    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(20)));
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let records = house.records(topic::EVENTS).await;
    let events = house.events().await;
    let ids: BTreeSet<&String> = events.iter().map(|event| &event.message_id).collect();
    assert_eq!((records.len(), ids.len()), (3_200, 3_200));
    for sender in 0..16 {
        let visitor = format!("a-{sender}");
        let order: Vec<usize> = events
            .iter()
            .filter(|event| event.anonymous_id.as_ref() == Some(&visitor))
            .map(|event| event.message_id.split_once('-').unwrap().1.parse().unwrap())
            .collect();
        assert_eq!(order, (0..200).collect::<Vec<_>>(), "{visitor}");
    }
}
