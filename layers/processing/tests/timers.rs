//! What happens without a signal.

use crate::rig::{Rig, event, id, member, order};
use model::topic;
use processing::ProcessingConfig;
use serde_json::{Value, json};

const DAY: i64 = 24 * 60;

#[tokio::test]
async fn windows_slide_and_tags_go_and_come_by_time() {
    let mut rig = Rig::new().await;
    let person = format!("m:{}", id(1));
    rig.feed(vec![
        member(1, 1, 0),
        order(10, 2, -2, &json!({"member_id": id(1), "net_minor": 60_000})),
        order(11, 3, -1, &json!({"member_id": id(1)})),
        event("1", "product_viewed", Some("a1"), Some("no-1"), 0, &json!({})),
    ])
    .await;
    rig.process().await;
    assert_eq!(rig.tags(&person).await, ["browsing_now", "high_value", "new_member"]);
    rig.set_minute(7);
    rig.process().await;
    assert_eq!(rig.tags(&person).await, ["high_value", "new_member"]);
    rig.reopen();
    rig.set_minute(DAY + 1);
    rig.process().await;
    let features = rig.features(&person).await;
    assert_eq!((&features["orders_24h"], &features["orders_7d"]), (&json!(0), &json!(2)));
    assert_eq!(features["days_since_last_order"], 1);
    rig.set_minute(31 * DAY);
    rig.process().await;
    assert_eq!(rig.tags(&person).await, Vec::<String>::new());
    assert_eq!(rig.ends().await[topic::COHORTS].get(&person), None);
    rig.set_minute(61 * DAY);
    rig.process().await;
    assert_eq!(rig.tags(&person).await, ["at_risk"]);
}

async fn intents(rig: &Rig) -> Vec<Value> {
    rig.read(topic::INTENTS).await.into_iter().filter_map(|(_, intent)| intent).collect()
}

fn added(message: &str, device: &str, user: Option<&str>, minute: i64) -> bus::NewRecord {
    let properties = json!({"properties": {"product_id": "P", "price": "2.50", "currency": "USD"}});
    event(message, "product_added", Some(device), user, minute, &properties)
}

#[tokio::test]
async fn a_cart_left_fires_once_with_what_is_in_it() {
    let rig = Rig::new().await;
    rig.feed(vec![added("1", "a1", None, 0)]).await;
    rig.process().await;
    assert_eq!(intents(&rig).await, [] as [Value; 0]);
    rig.set_minute(30);
    rig.process().await;
    rig.set_minute(90);
    rig.process().await;
    let fired = intents(&rig).await;
    assert_eq!((fired.len(), &fired[0]["status"], &fired[0]["person"]), (1, &json!("fired"), &json!("a:a1")));
    assert_eq!(fired[0]["detail"]["value_minor"], 250);
    assert_eq!(fired[0]["detail"]["products"], json!([{"product_code": "P", "quantity": 1}]));
}

#[tokio::test]
async fn a_purchase_at_the_till_cancels_and_a_late_one_takes_back() {
    let rig = Rig::new().await;
    let till = |lsn, minute| order(10 + lsn, lsn, minute, &json!({"member_id": id(1)}));
    rig.feed(vec![member(1, 1, 0), added("1", "a1", Some("no-1"), 0), till(2, 10)]).await;
    rig.process().await;
    rig.set_minute(60);
    rig.feed(vec![added("2", "a1", None, 60)]).await;
    rig.process().await;
    assert_eq!(intents(&rig).await, [] as [Value; 0]);
    rig.set_minute(95);
    rig.process().await;
    assert_eq!(intents(&rig).await.len(), 1);
    // The till was offline: its receipt of minute 70 arrives now.
    rig.feed(vec![till(3, 70)]).await;
    rig.process().await;
    let all = intents(&rig).await;
    assert_eq!((all.len(), &all[1]["status"]), (2, &json!("retracted")));
    assert_eq!(all[0]["intent_id"], all[1]["intent_id"]);
}

#[tokio::test]
async fn a_deployment_may_shorten_the_wait() {
    let rig = Rig::new().await;
    let config: ProcessingConfig =
        serde_json::from_value(json!({"intents": {"cart_abandoned": {"after_seconds": 60}}})).unwrap();
    rig.feed(vec![added("1", "a1", None, 0)]).await;
    rig.set_minute(1);
    rig.process_with(config).await;
    assert_eq!(intents(&rig).await.len(), 1);
}

#[tokio::test]
async fn late_events_count_for_life_but_open_no_visit() {
    let rig = Rig::new().await;
    rig.feed(vec![event(
        "1",
        "product_viewed",
        Some("a1"),
        None,
        -10 * DAY,
        &json!({"received_at": crate::rig::at(0)}),
    )])
    .await;
    rig.process().await;
    let features = rig.features("a:a1").await;
    assert_eq!((&features["product_views_7d"], &features["product_views_30d"]), (&json!(0), &json!(1)));
    assert_eq!(rig.ends().await[topic::SESSIONS].len(), 0);
}

#[tokio::test]
async fn changed_definitions_reach_people_who_are_quiet() {
    let rig = Rig::new().await;
    let person = format!("m:{}", id(1));
    let buys = order(10, 2, -2, &json!({"member_id": id(1), "net_minor": 60_000}));
    rig.feed(vec![member(1, 1, -40 * DAY), buys]).await;
    rig.process().await;
    assert_eq!(rig.tags(&person).await, ["high_value"]);
    let mut without = contract::Definitions::embedded();
    without.tags.retain(|tag| tag.name != "high_value");
    rig.process_by(without, async |rig| rig.tags(&person).await.is_empty()).await;
    // And back: a sweep that is done does not hinder the next one.
    rig.process_by(contract::Definitions::embedded(), async |rig| rig.tags(&person).await == ["high_value"]).await;
}

#[tokio::test]
async fn an_intent_that_no_contract_defines_is_refused() {
    let rig = Rig::new().await;
    let config: ProcessingConfig =
        serde_json::from_value(json!({"intents": {"cart_abandonned": {"after_seconds": 60}}})).unwrap();
    let error = rig.refused(config).await;
    assert!(error.contains("processing.intents.cart_abandonned"), "{error}");
}
