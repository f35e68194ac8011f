//! Who is who: linking, merging, un-linking, handing over.

use crate::rig::{Rig, change, event, id, identity, member, order};
use model::topic;
use serde_json::{Value, json};

fn view(message: &str, device: &str, user: Option<&str>, minute: i64) -> bus::NewRecord {
    event(message, "product_viewed", Some(device), user, minute, &json!({}))
}

#[tokio::test]
async fn a_login_brings_what_the_visitor_did_before() {
    let rig = Rig::new().await;
    rig.feed(vec![member(1, 1, -10), view("1", "a1", None, -3), view("2", "a1", None, -2)]).await;
    rig.process().await;
    assert_eq!(rig.features("a:a1").await["product_views_24h"], 2);
    rig.feed(vec![view("3", "a1", Some("no-1"), -1)]).await;
    rig.process().await;
    let person = format!("m:{}", id(1));
    assert_eq!(rig.features(&person).await["product_views_24h"], 3);
    assert_eq!(rig.features("a:a1").await, Value::Null);
    let ends = rig.ends().await;
    assert_eq!(ends[topic::IDENTITY]["a:a1"]["person"], person.as_str());
    let sessions: Vec<&Value> = ends[topic::SESSIONS].values().collect();
    assert_eq!((sessions.len(), &sessions[0]["events"], &sessions[0]["person"]), (1, &json!(3), &json!(person)));
}

#[tokio::test]
async fn an_identity_that_is_taken_away_un_links() {
    let rig = Rig::new().await;
    let email = identity(5, 1, "email", "tok");
    let seen = json!({"identities": [{"kind": "email", "token": "tok"}]});
    rig.feed(vec![
        change("member_identity", "m", 1, &Value::Null, &email),
        event("1", "identify", Some("a1"), None, -5, &seen),
        view("2", "a1", None, -4),
        order(10, 2, -3, &json!({"contact": "email:tok"})),
    ])
    .await;
    rig.process().await;
    let person = format!("m:{}", id(1));
    let features = rig.features(&person).await;
    assert_eq!((&features["product_views_7d"], &features["orders_7d"]), (&json!(1), &json!(1)));
    rig.feed(vec![change("member_identity", "m", 3, &email, &Value::Null)]).await;
    rig.process().await;
    assert_eq!(rig.features(&person).await, Value::Null);
    let features = rig.features("c:email:tok").await;
    assert_eq!((&features["product_views_7d"], &features["orders_7d"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_shared_device_goes_to_the_latest_and_marries_nobody() {
    let rig = Rig::new().await;
    rig.feed(vec![
        member(1, 1, -10),
        member(2, 2, -10),
        view("1", "till", Some("no-2"), -1),
        view("2", "till", Some("no-1"), -9),
        order(10, 3, -5, &json!({"member_id": id(1)})),
        order(11, 4, -5, &json!({"member_id": id(2)})),
    ])
    .await;
    rig.process().await;
    let (one, two) = (rig.features(&format!("m:{}", id(1))).await, rig.features(&format!("m:{}", id(2))).await);
    assert_eq!((&one["product_views_7d"], &one["orders_7d"]), (&json!(0), &json!(1)));
    assert_eq!((&two["product_views_7d"], &two["orders_7d"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_merged_members_number_leads_to_the_other_until_that_is_undone() {
    let rig = Rig::new().await;
    let row = |lsn: u64, into: Option<u64>| {
        let status = if into.is_some() { "merged" } else { "active" };
        let row = json!({
            "member_id": id(1), "member_no": "no-1", "status": status, "merged_into_member_id": into.map(id),
            "tier_code": null, "enrolled_at": "2026-01-01T00:00:00Z", "timezone": null,
        });
        change("member", &id(1).to_string(), lsn, &Value::Null, &row)
    };
    rig.feed(vec![member(1, 1, -10), member(2, 2, -10)]).await;
    rig.feed(vec![view("1", "a1", Some("no-1"), -5), view("2", "a2", Some("no-2"), -4)]).await;
    rig.process().await;
    let (one, two) = (format!("m:{}", id(1)), format!("m:{}", id(2)));
    assert_eq!(rig.features(&one).await["product_views_7d"], 1);
    rig.feed(vec![row(3, Some(2)), view("3", "a1", None, -3)]).await;
    rig.process().await;
    assert_eq!(rig.features(&two).await["product_views_7d"], 3);
    rig.feed(vec![row(4, None)]).await;
    rig.process().await;
    let views = [rig.features(&one).await, rig.features(&two).await].map(|of| of["product_views_7d"].clone());
    assert_eq!(views, [json!(2), json!(1)]);
}

#[tokio::test]
async fn repeats_are_dropped_for_ever() {
    let rig = Rig::new().await;
    rig.feed(vec![view("1", "a1", None, -1), view("1", "a1", None, -1)]).await;
    rig.process().await;
    rig.feed(vec![view("1", "a2", None, 0)]).await;
    rig.process().await;
    assert_eq!(rig.features("a:a1").await["product_views_lifetime"], 1);
    assert_eq!(rig.features("a:a2").await, Value::Null);
}

#[tokio::test]
async fn two_identities_of_one_form_are_one_persons() {
    let rig = Rig::new().await;
    let seen = json!({"identities": [{"kind": "email", "token": "tok"}, {"kind": "phone", "token": "new"}]});
    rig.feed(vec![
        change("member_identity", "m", 1, &Value::Null, &identity(5, 1, "email", "tok")),
        event("1", "identify", Some("a1"), None, -5, &seen),
        view("2", "a1", None, -4),
        order(10, 2, -3, &json!({"contact": "phone:new"})),
    ])
    .await;
    rig.process().await;
    let features = rig.features(&format!("m:{}", id(1))).await;
    assert_eq!((&features["product_views_7d"], &features["orders_7d"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_message_id_is_one_sources_own() {
    let rig = Rig::new().await;
    let from = |source: &str, device: &str| {
        event("1001", "product_viewed", Some(device), None, -1, &json!({"source": source}))
    };
    rig.feed(vec![from("web", "a1"), from("app", "a1"), from("web", "a1")]).await;
    rig.process().await;
    assert_eq!(rig.features("a:a1").await["product_views_lifetime"], 2);
}

#[tokio::test]
async fn a_re_used_product_code_names_its_newest_bearer() {
    let rig = Rig::new().await;
    let product = |n: u64, code: &str, category: &str| json!({"product_id": id(n), "product_code": code, "category": category, "brand": null});
    let (tea, coffee) = (product(60, "P", "tea"), product(61, "P", "coffee"));
    let viewed = |message: &str, code: &str| {
        event(message, "product_viewed", Some("a1"), None, 0, &json!({"properties": {"product_id": code}}))
    };
    rig.feed(vec![
        change("product", "p", 1, &Value::Null, &tea),
        change("product", "p", 2, &tea, &product(60, "Q", "tea")),
        change("product", "p", 3, &Value::Null, &coffee),
        viewed("1", "P"),
    ])
    .await;
    rig.process().await;
    rig.feed(vec![
        change("product", "p", 4, &json!({"product_id": id(61)}), &Value::Null),
        viewed("2", "P"),
        viewed("3", "Q"),
    ])
    .await;
    rig.process().await;
    let signals = rig.read(topic::SIGNALS).await;
    let categories: Vec<&Value> =
        signals.iter().map(|(_, signal)| &signal.as_ref().unwrap()["body"]["event"]["product"]["category"]).collect();
    assert_eq!(categories, [&json!("coffee"), &Value::Null, &json!("tea")]);
}
