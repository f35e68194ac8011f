//! From a delivery to its commands: once, whatever is repeated, late, broken or killed.

use crate::hooks::signed;
use crate::house::{House, TILL_KEY, problem};
use access::Config;
use engine_postgres::Version;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ORDER: &str = include_str!("../../../contracts/sources/payloads/example_shop.order_paid.json");
const RETURN: &str = include_str!("../../../contracts/sources/payloads/example_shop.order_returned.json");
const RECEIPT: &str = include_str!("../../../contracts/sources/payloads/example_till.receipt.json");

crate::on_both!(
    a_return_may_come_before_its_order,
    a_receipt_makes_many_commands,
    what_cannot_be_mapped_is_dead_and_says_why,
    a_router_that_dies_doubles_nothing,
    dead_deliveries_are_corrected_and_replayed,
    what_is_tried_too_long_is_dead,
);

fn config() -> Config {
    let mut config = Config::default();
    config.inbox.wait_first_ms = 100;
    config.inbox.wait_most_ms = 400;
    config.inbox.program_ms_max = 20_000;
    config
}

async fn open(version: Version) -> House {
    let house = House::with(version, config()).await;
    house.furnish().await;
    house.put("/api/v1/skus", &json!({"sku_code": "1039126", "product_code": "p1"})).await;
    house
}

async fn accepted(house: &House, id: &str, body: &str) -> String {
    let answer = signed(house, id, body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn show(house: &House, id: &str) -> Value {
    house.get(&format!("/api/v1/inbox/{id}"), &house.admin).await.json().await.unwrap()
}

/// Waits until a delivery has a status.
async fn becomes(house: &House, id: &str, status: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let shown = show(house, id).await;
        if shown["status"] == status {
            return shown;
        }
        assert!(Instant::now() < deadline, "it does not become {status}: {shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn replay(house: &House, path: &str, body: &Value) -> Response {
    let request = house.client.request(Method::POST, house.url(path)).bearer_auth(&house.admin);
    request.header("x-reason", "mended").json(body).send().await.unwrap()
}

async fn a_return_may_come_before_its_order(version: Version) {
    let house = open(version).await;
    house.start();
    let early = accepted(&house, "msg_return", RETURN).await;
    let waiting = becomes(&house, &early, "retry").await;
    assert_eq!((&waiting["code"], &waiting["line"]), (&"oltp.unknown_order".into(), &1.into()), "{waiting}");
    let order = accepted(&house, "msg_order", ORDER).await;
    let done = becomes(&house, &order, "done").await;
    assert_eq!(
        (&done["kind"], &done["entity_key"], &done["lines"]),
        (&"order.paid".into(), &"W-1001".into(), &1.into())
    );
    let cured = becomes(&house, &early, "done").await;
    assert_eq!(cured["code"], Value::Null);
    let stored: Value = house.get("/api/v1/orders/example_shop:W-1001", &house.reader).await.json().await.unwrap();
    assert_eq!(
        (&stored["net_minor"], &stored["lines"][0]["unit_price_minor"]),
        (&4497.into(), &1999.into()),
        "{stored}"
    );
    assert_eq!(house.get("/api/v1/returns/example_shop:W-R-1", &house.reader).await.status(), 200);
    // A ping is told about and nothing is done.
    let ping = accepted(&house, "msg_ping", r#"{"type": "ping"}"#).await;
    assert_eq!(becomes(&house, &ping, "done").await["lines"], 0);
    let who = house.value("select distinct actor from crm.audit_log where entity = 'order'").await;
    assert_eq!(who, "source:example_shop/main");
}

async fn a_receipt_makes_many_commands(version: Version) {
    let house = open(version).await;
    house.start();
    let post = house.client.post(house.url("/hooks/json/till")).header("x-api-key", TILL_KEY).header("x-till", "7");
    let receipt: Value = post.header("x-delivery-id", "d-1").body(RECEIPT).send().await.unwrap().json().await.unwrap();
    let done = becomes(&house, receipt["id"].as_str().unwrap(), "done").await;
    assert_eq!(done["lines"], 3, "{done}");
    assert_eq!(house.get("/api/v1/orders/till-7:7-4711", &house.reader).await.status(), 200);
    assert_eq!(house.get("/api/v1/skus/9001", &house.reader).await.status(), 200);
}

async fn what_cannot_be_mapped_is_dead_and_says_why(version: Version) {
    let house = open(version).await;
    house.start();
    let order: Value = serde_json::from_str(ORDER).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut order = order.clone();
        *order.pointer_mut(pointer).unwrap() = value;
        order.to_string()
    };
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for (n, (body, code, pointer)) in [
        ("zoe@example.com".to_owned(), "access.unreadable", None),
        (deep, "access.unreadable", None),
        (r#"{"type": "zoe"}"#.to_owned(), "access.unknown_kind", None),
        (r#"{"no": "type"}"#.to_owned(), "access.unknown_kind", None),
        (changed("/data/total", json!("zoe@example.com")), "access.mapping_failed", None),
        (changed("/data/total", json!("1.999")), "access.mapping_failed", None),
        (changed("/data/currency", json!("zoe")), "oltp.invalid_value", Some("/currency")),
        (changed("/data/placed_at", json!("zoe")), "access.invalid_body", Some("/body/placed_at")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = accepted(&house, &format!("msg_{n}"), &body).await;
        let dead = becomes(&house, &id, "dead").await;
        assert_eq!((dead["code"].as_str().unwrap(), dead["pointer"].as_str()), (code, pointer), "{body}: {dead}");
        assert!(!dead["reason"].as_str().unwrap().contains("zoe@"), "{dead}");
    }
    assert_eq!(house.value("select count(*)::text from crm.sales_order").await, "0");
    let dead: Value = house.get("/api/v1/inbox/standing", &house.reader).await.json().await.unwrap();
    assert_eq!(dead["dead"], 8);
}

/// What was committed and not marked as done is run again, and finds its first answers.
async fn a_router_that_dies_doubles_nothing(version: Version) {
    let house = open(version).await;
    house.start();
    let id = accepted(&house, "msg_order", ORDER).await;
    becomes(&house, &id, "done").await;
    let counts = "select concat_ws(' ', (select count(*) from crm.audit_log), (select count(*) from crm.points_ledger),
        (select sum(row_version) from crm.sales_order))";
    let before = house.value(counts).await;
    let client = house.oltp.client().await.unwrap();
    for _ in 0..3 {
        let died = "update crm.inbox set status = 'received', settled_at = null, lease = gen_random_uuid(), next_attempt_at = now()";
        client.execute(died, &[]).await.unwrap();
        becomes(&house, &id, "done").await;
    }
    assert_eq!(house.value(counts).await, before);
    // A newer order under way does not come back by a replay of the older delivery.
    let mut newer: Value = serde_json::from_str(ORDER).unwrap();
    newer["timestamp"] = json!("2026-03-02T10:00:00Z");
    newer["data"]["lines"] = json!([{"sku": "1039126", "quantity": 1, "price": "1.00"}]);
    newer["data"]["total"] = json!("1.00");
    let second = accepted(&house, "msg_newer", &newer.to_string()).await;
    becomes(&house, &second, "done").await;
    assert_eq!(replay(&house, &format!("/api/v1/inbox/{id}/replay"), &json!({"anew": true})).await.status(), 202);
    becomes(&house, &id, "done").await;
    let net = "select net_minor::text from crm.sales_order";
    assert_eq!(house.value(net).await, "100");
}

async fn dead_deliveries_are_corrected_and_replayed(version: Version) {
    let house = open(version).await;
    house.start();
    let broken = ORDER.replace("44.97", "zoe@example.com");
    let id = accepted(&house, "msg_1", &broken).await;
    becomes(&house, &id, "dead").await;
    let hidden: Value = house.get(&format!("/api/v1/inbox/{id}"), &house.reader).await.json().await.unwrap();
    assert!(!hidden.to_string().contains("zoe@"), "{hidden}");
    assert_eq!(show(&house, &id).await["payload"]["data"]["total"], "zoe@example.com");
    let path = format!("/api/v1/inbox/{id}/replay");
    let by_writer = house.post(&path).json(&json!({})).send().await.unwrap();
    assert_eq!(problem(by_writer).await.0, 403);
    assert_eq!(replay(&house, &path, &json!({})).await.status(), 202);
    becomes(&house, &id, "dead").await;
    let mended: Value = serde_json::from_str(ORDER).unwrap();
    let answer = replay(&house, &path, &json!({"payload": mended})).await;
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["status_before"].clone()),
        (202, "dead".into())
    );
    let done = becomes(&house, &id, "done").await;
    assert_eq!((&done["corrected"], &done["payload"]["data"]["total"]), (&true.into(), &"zoe@example.com".into()));
    let told = house.value("select string_agg(action || ' ' || reason, ', ' order by audit_id) from crm.audit_log where entity = 'inbox'").await;
    assert_eq!(told, "replayed mended, corrected mended");
    for (path, body, status) in [
        ("/api/v1/inbox/019a2b1c-7d5e-7c3a-9f10-2b6f0c1d4e5f/replay", json!({}), 404),
        ("/api/v1/inbox/nothing/replay", json!({}), 404),
        (path.as_str(), json!({"body": 1}), 422),
        ("/api/v1/inbox/replay", json!({"limit": 0}), 422),
        ("/api/v1/inbox/replay", json!({"status": "lost"}), 422),
        ("/api/v1/inbox/replay", json!({"sauce": "x"}), 422),
    ] {
        assert_eq!(problem(replay(&house, path, &body).await).await.0, status, "{path} {body}");
    }
    // Many at once: their SKU was missing.
    let other = ORDER.replace("1039126", "late").replace("W-1001", "W-2");
    let ids = [accepted(&house, "msg_2", &other).await, accepted(&house, "msg_3", &other.replace("W-2", "W-3")).await];
    for id in &ids {
        becomes(&house, id, "retry").await;
    }
    let client = house.oltp.client().await.unwrap();
    client
        .execute("update crm.inbox set status = 'dead', settled_at = now() where status = 'retry'", &[])
        .await
        .unwrap();
    house.put("/api/v1/skus", &json!({"sku_code": "late", "product_code": "p1"})).await;
    let many =
        replay(&house, "/api/v1/inbox/replay", &json!({"source": "example_shop", "code": "oltp.unknown_sku"})).await;
    assert_eq!(many.json::<Value>().await.unwrap()["replayed"], 2);
    for id in &ids {
        becomes(&house, id, "done").await;
    }
    let list: Value = house.get("/api/v1/inbox?status=done&limit=2", &house.reader).await.json().await.unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(list["next"].is_string());
    assert_eq!(problem(house.get("/api/v1/inbox?status=lost", &house.reader).await).await.0, 422);
}

async fn what_is_tried_too_long_is_dead(version: Version) {
    let house = open(version).await;
    house.start();
    let id = accepted(&house, "msg_1", RETURN).await;
    becomes(&house, &id, "retry").await;
    let client = house.oltp.client().await.unwrap();
    let age =
        "update crm.inbox set retry_since = now() - interval '73 hours', next_attempt_at = now() where lease is null";
    while client.execute(age, &[]).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let dead = becomes(&house, &id, "dead").await;
    assert_eq!(dead["code"], "oltp.unknown_order");
    assert!(dead["reason"].as_str().unwrap().ends_with("tried for 73 h in vain"), "{dead}");
}
