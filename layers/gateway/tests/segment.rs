//! The events of Segment's e-commerce spec: our own examples of each, and Segment's where the shared data is at hand.

use crate::house::House;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::Path;

/// An example of every event of the spec, written for this test.
const OURS: &str = include_str!("fixtures/segment_ecommerce.json");

/// Three coupon examples of Segment's pages lack a comma; these have the same fault.
const MALFORMED: [&str; 3] = [
    r#"{"type":"track","event":"Coupon Applied","properties":{"order_id":"o-1" "cart_id":"c-1"}}"#,
    r#"{"type":"track","event":"Coupon Denied","properties":{"order_id":"o-1","cart_id":"c-1" "coupon_id":"x"}}"#,
    r#"{"type":"track","event":"Coupon Removed" "properties":{"order_id":"o-1"}}"#,
];

async fn all_are_accepted_by_their_contract(examples: &str, count: usize) {
    let mut examples: Vec<Value> = serde_json::from_str(examples).unwrap();
    assert_eq!(examples.len(), count);
    for (n, example) in examples.iter_mut().enumerate() {
        example["anonymousId"] = json!("a-1");
        example["messageId"] = json!(format!("m-{n}"));
    }
    let house = House::open().await;
    let (status, answer) = house.send("batch", &json!({ "batch": examples })).await;
    let rejected: Vec<String> = house.rejected().await.into_iter().map(|event| event.reason).collect();
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(count)), "{rejected:?}");
    for event in house.events().await {
        assert_eq!(event.contract_version, 1, "{} has a contract", event.name);
    }
}

#[tokio::test]
async fn an_example_of_every_event_is_accepted() {
    all_are_accepted_by_their_contract(OURS, 28).await;
}

#[tokio::test]
async fn segments_own_examples_are_accepted() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/segment/segment_ecommerce_v2_examples.json");
    match std::fs::read_to_string(&path) {
        Ok(examples) => all_are_accepted_by_their_contract(&examples, 25).await,
        Err(_) => println!("skipped: {} is not here", path.display()),
    }
}

#[tokio::test]
async fn malformed_examples_are_refused() {
    let house = House::open().await;
    for example in MALFORMED {
        let batch = format!(r#"{{"batch":[{example}]}}"#);
        for (call, body) in [("track", example.to_owned()), ("batch", batch)] {
            let response = house.post(call).body(body).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{example}");
        }
    }
    assert!(house.events().await.is_empty());
}
