//! Segment's own examples of its e-commerce spec, where the shared data is at hand.

use crate::house::House;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::path::Path;

/// Three coupon examples of Segment's pages lack a comma; these have the same fault.
const MALFORMED: [&str; 3] = [
    r#"{"type":"track","event":"Coupon Applied","properties":{"order_id":"o-1" "cart_id":"c-1"}}"#,
    r#"{"type":"track","event":"Coupon Denied","properties":{"order_id":"o-1","cart_id":"c-1" "coupon_id":"x"}}"#,
    r#"{"type":"track","event":"Coupon Removed" "properties":{"order_id":"o-1"}}"#,
];

#[tokio::test]
async fn every_example_is_accepted_by_its_contract() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/segment/segment_ecommerce_v2_examples.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not here", path.display());
        return;
    };
    let mut examples: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(examples.len(), 25);
    for (n, example) in examples.iter_mut().enumerate() {
        example["anonymousId"] = json!("a-1");
        example["messageId"] = json!(format!("m-{n}"));
    }
    let house = House::open().await;
    let (status, answer) = house.send("batch", &json!({ "batch": examples })).await;
    let rejected: Vec<String> = house.rejected().await.into_iter().map(|event| event.reason).collect();
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(25)), "{rejected:?}");
    for event in house.events().await {
        assert_eq!(event.contract_version, 1, "{} has a contract", event.name);
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
