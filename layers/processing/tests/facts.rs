//! Orders and returns: what they contribute, and what takes it back.

use crate::rig::{Rig, at, change, id, member, order, returned, snapshot_complete, truncate};
use model::topic;
use serde_json::{Value, json};

fn mine(status: &str) -> Value {
    json!({"member_id": id(1), "status": status})
}

async fn spend(rig: &Rig) -> (Value, Value, Value) {
    let features = rig.features(&format!("m:{}", id(1))).await;
    (features["orders_30d"].clone(), features["units_30d"].clone(), features["net_spend_minor_30d"].clone())
}

#[tokio::test]
async fn returns_cancellations_and_updates_take_back_what_was_counted() {
    let rig = Rig::new().await;
    rig.feed(vec![member(1, 1, -10), order(10, 2, -5, &mine("paid")), order(11, 3, -4, &mine("paid"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(2), json!("4"), json!(2_000)));
    rig.feed(vec![returned(20, 4, 10, "completed", 400)]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(2), json!("3"), json!(1_600)));
    rig.feed(vec![returned(20, 5, 10, "rejected", 400), order(11, 6, -4, &mine("cancelled"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(1), json!("2"), json!(1_000)));
    rig.feed(vec![order(10, 7, -5, &json!({"member_id": id(1), "net_minor": 1_234, "units": "1.5"}))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(1), json!("1.5"), json!(1_234)));
}

#[tokio::test]
async fn an_order_that_moves_takes_its_returns_with_it_there_and_back() {
    let rig = Rig::new().await;
    let guest = json!({"contact": "email:tok"});
    rig.feed(vec![returned(20, 9, 10, "completed", 400), order(10, 2, -5, &guest)]).await;
    rig.process().await;
    assert_eq!(rig.features("c:email:tok").await["net_spend_minor_7d"], 600);
    rig.feed(vec![order(10, 3, -5, &mine("paid"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await.2, 600);
    assert_eq!(rig.features("c:email:tok").await["orders_lifetime"], 0);
    rig.feed(vec![order(10, 4, -5, &guest), order(10, 3, -5, &mine("paid"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await.0, 0);
    assert_eq!(rig.features("c:email:tok").await["net_spend_minor_lifetime"], 600);
}

#[tokio::test]
async fn an_order_knows_its_store() {
    let rig = Rig::new().await;
    rig.feed(vec![
        order(10, 2, -5, &json!({"member_id": id(1), "store_id": id(50)})),
        change("store", "s", 1, &Value::Null, &json!({"store_id": id(50), "store_code": "S1"})),
    ])
    .await;
    rig.process().await;
    let signals = rig.read(topic::SIGNALS).await;
    assert_eq!(signals[0].1.as_ref().unwrap()["body"]["order"]["store_code"], "S1");
}

/// A delete as it comes under the default replica identity: with the key only.
fn deleted(table: &str, column: &str, n: u64, lsn: u64) -> bus::NewRecord {
    change(table, &id(n).to_string(), lsn, &json!({column: id(n)}), &Value::Null)
}

#[tokio::test]
async fn deleted_rows_take_back_what_they_said() {
    let rig = Rig::new().await;
    let person = format!("m:{}", id(1));
    rig.feed(vec![
        member(1, 1, -10),
        order(10, 2, -5, &mine("paid")),
        order(11, 3, -5, &mine("paid")),
        returned(20, 4, 10, "completed", 400),
    ])
    .await;
    rig.process().await;
    assert_eq!(spend(&rig).await.2, 1_600);
    assert_eq!(rig.tags(&person).await, ["new_member"]);
    rig.feed(vec![
        deleted("sales_return", "return_id", 20, 5),
        deleted("sales_order", "order_id", 11, 6),
        deleted("member", "member_id", 1, 7),
    ])
    .await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(1), json!("2"), json!(1_000)));
    assert_eq!(rig.tags(&person).await, Vec::<String>::new());
    // What was written before the delete and comes after it changes nothing.
    rig.feed(vec![returned(20, 4, 10, "completed", 400), member(1, 1, -10), order(11, 3, -5, &mine("paid"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(1), json!("2"), json!(1_000)));
    assert_eq!(rig.tags(&person).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_taken_again_takes_back_what_was_deleted_meanwhile_and_nothing_else() {
    let rig = Rig::new().await;
    let orders = |lsn: u64, rows: std::ops::Range<u64>| {
        rows.map(move |n| order(n, lsn + n, -5, &mine("paid"))).collect::<Vec<_>>()
    };
    rig.feed(orders(1, 10..14)).await;
    rig.feed(vec![returned(20, 30, 10, "completed", 400), returned(21, 31, 11, "completed", 400)]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await.2, 3_200);
    let told = rig.read(topic::FEATURES).await.len();
    // Order 13 and return 21 were deleted while nobody listened.
    rig.feed([truncate("sales_order", 100, true), orders(101, 10..13)].concat()).await;
    rig.feed(truncate("sales_return", 200, true)).await;
    rig.process().await;
    assert_eq!(rig.read(topic::FEATURES).await.len(), told, "nothing is taken back before the snapshot is complete");
    rig.feed(vec![returned(20, 201, 10, "completed", 400), snapshot_complete()]).await;
    rig.process_until(async |rig| spend(rig).await.2 == json!(2_600)).await;
    // A row that was read before the truncate, in another partition.
    rig.feed(orders(1, 13..14)).await;
    rig.process().await;
    assert_eq!(spend(&rig).await, (json!(3), json!("5"), json!(2_600)));
}

#[tokio::test]
async fn a_truncate_takes_back_members_and_what_they_claim() {
    let rig = Rig::new().await;
    let viewed = |message: &str, user: Option<&str>| {
        crate::rig::event(message, "product_viewed", Some("a1"), user, 0, &json!({}))
    };
    let email = crate::rig::identity(5, 1, "email", "tok");
    rig.feed(vec![
        member(1, 1, -10),
        change("member_identity", "m", 2, &Value::Null, &email),
        viewed("1", Some("no-1")),
        order(10, 3, -5, &json!({"contact": "email:tok"})),
    ])
    .await;
    rig.process().await;
    assert_eq!(rig.features(&format!("m:{}", id(1))).await["product_views_7d"], 1);
    rig.feed([truncate("member", 10, false), truncate("member_identity", 11, false)].concat()).await;
    rig.process_until(async |rig| {
        rig.features("u:no-1").await["product_views_7d"] == 1 && rig.features("c:email:tok").await["orders_7d"] == 1
    })
    .await;
    assert_eq!(rig.tags(&format!("m:{}", id(1))).await, Vec::<String>::new());
}

#[tokio::test]
async fn signals_read_as_the_model_says_and_know_their_product() {
    let rig = Rig::new().await;
    let product = json!({"product_id": id(60), "product_code": "P", "category": "tea", "brand": null});
    let sku = json!({"sku_id": id(61), "product_id": id(60), "sku_code": "P-1"});
    let viewed = json!({"properties": {"sku": "P-1", "price": 2.5}, "context": {"page": {"path": "/p"}}});
    rig.feed(vec![
        crate::rig::event("1", "product_viewed", Some("a1"), None, 0, &viewed),
        change("product", "p", 1, &Value::Null, &product),
        change("sku", "p", 2, &Value::Null, &sku),
    ])
    .await;
    rig.process().await;
    let signals = rig.read(topic::SIGNALS).await;
    let signal: model::signal::Signal = serde_json::from_value(signals[0].1.clone().unwrap()).unwrap();
    let model::signal::Body::Event { event, product } = signal.body else { panic!("an event") };
    assert_eq!((event.message_id.as_str(), event.context["page"]["path"].as_str()), ("1", Some("/p")));
    let product = product.unwrap();
    assert_eq!((product.product_code.as_str(), product.category.as_deref()), ("P", Some("tea")));
    assert_eq!(signal.occurred_at.to_string(), at(0));
}

#[tokio::test]
async fn broken_records_are_counted_and_passed_over() {
    let rig = Rig::new().await;
    let mut broken = order(10, 2, -5, &mine("paid"));
    broken.value = Some(bytes::Bytes::from_static(b"{\"before\": [[[["));
    let nobody = order(12, 3, -5, &json!({}));
    rig.feed(vec![broken, nobody, order(11, 4, -4, &mine("paid"))]).await;
    rig.process().await;
    assert_eq!(spend(&rig).await.0, 1);
    assert_eq!(rig.telemetry.status()[0].errors, 1);
}
