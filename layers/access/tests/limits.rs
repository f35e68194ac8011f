//! How often a key may ask, and what its scopes let it do.

use crate::house::{House, problem};
use engine_postgres::Version;
use oltp::NewKey;
use runtime::auth::{Rate, Role};
use serde_json::{Value, json};

crate::on_both!(
    a_key_that_asks_too_often_waits,
    a_key_does_what_its_scopes_say,
    a_key_is_rotated,
    the_audit_log_is_for_whoever_may_see_it,
);

async fn a_key_that_asks_too_often_waits(version: Version) {
    let house = House::open(version).await;
    let key = house.key(NewKey { rate: Some(Rate { per_s: 1, burst: 3 }), ..NewKey::new("slow", Role::Writer) }).await;
    let first = house.get("/api/v1/stores", &key).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["ratelimit-policy"], "\"key\";q=3;w=3");
    assert_eq!(first.headers()["ratelimit"], "\"key\";r=2;t=1");
    // However fast this machine is, ten requests in a row are more than three and one a second.
    let mut refused = None;
    for _ in 0..200 {
        let answer = house.get("/api/v1/stores", &key).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(refused.headers().contains_key("retry-after") && refused.headers().contains_key("ratelimit"));
    assert_eq!(problem(refused).await.1, "access.rate_limited");
    let imports = house.get("/api/v1/imports", &key).await;
    assert!(imports.headers().contains_key("ratelimit"), "all doors take from one bucket");
    assert_eq!(house.get("/api/v1/stores", &house.reader).await.status(), 200, "another key is not held back");
}

async fn a_key_does_what_its_scopes_say(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let till = house.scoped(Role::Writer, &["stores:write", "orders:read"]).await;
    let post = |path: &str, body: Value| house.client.post(house.url(path)).bearer_auth(&till).json(&body).send();
    assert_eq!(post("/api/v1/stores", json!({"store_code": "2", "name": "B"})).await.unwrap().status(), 201);
    let product = post("/api/v1/products", json!({"product_code": "2", "title": "B"})).await.unwrap();
    assert_eq!(problem(product).await.1, "access.forbidden");
    assert_eq!(house.get("/api/v1/orders", &till).await.status(), 200);
    for path in ["/api/v1/stores", "/api/v1/members/m1", "/api/v1/audit"] {
        assert_eq!(house.get(path, &till).await.status(), 403, "{path}");
    }
    let lines = [
        json!({"type": "store", "body": {"store_code": "3", "name": "C"}}),
        json!({"type": "product", "body": {"product_code": "3", "title": "C"}}),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let batch = house.client.post(house.url("/api/v1/batch")).bearer_auth(&till);
    let batch = batch.header("Content-Type", "application/x-ndjson").body(lines).send().await.unwrap();
    let text = batch.text().await.unwrap();
    let statuses: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].clone()).collect();
    assert_eq!(statuses[..2], [json!(201), json!(403)], "{text}");
    for (scopes, place) in [
        (json!([]), "/scopes"),
        (json!(["orders:read", "ordes:write"]), "/scopes/1"),
        (json!(["stores:write"]), "/scopes/0"),
    ] {
        let body = json!({"name": "x", "role": "reader", "scopes": scopes});
        let made =
            house.client.post(house.url("/api/v1/keys")).bearer_auth(&house.admin).json(&body).send().await.unwrap();
        let (status, _, pointer) = problem(made).await;
        assert_eq!((status, pointer.as_str()), (422, place), "{scopes}");
    }
}

async fn a_key_is_rotated(version: Version) {
    let house = House::open(version).await;
    let post =
        |path: &str, body: Value| house.client.post(house.url(path)).bearer_auth(&house.admin).json(&body).send();
    let body = json!({"name": "till-9", "role": "writer", "scopes": ["stores:read"], "requests_per_s": 5, "expires_at": "2999-01-01T00:00:00Z"});
    let made: Value = post("/api/v1/keys", body).await.unwrap().json().await.unwrap();
    let (id, old) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let path = format!("/api/v1/keys/{id}/rotate");
    let rotated: Value = post(&path, json!({"overlap_s": 60})).await.unwrap().json().await.unwrap();
    let new = rotated["secret"].as_str().unwrap();
    for key in [old, new] {
        assert_eq!(house.get("/api/v1/stores", key).await.status(), 200);
    }
    post(&path, json!({})).await.unwrap().error_for_status().unwrap();
    for key in [old, new] {
        assert_eq!(house.get("/api/v1/stores", key).await.status(), 401);
    }
    assert_eq!(problem(post(&path, json!({"overlap_s": 9_999_999})).await.unwrap()).await.2, "/overlap_s");
    assert_eq!(post("/api/v1/keys/x/rotate", json!({})).await.unwrap().status(), 404);
    let listed: Value = house.get("/api/v1/keys", &house.admin).await.json().await.unwrap();
    let listed = listed["items"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert_eq!(
        (&listed["scopes"], &listed["requests_per_s"], &listed["burst"]),
        (&json!(["stores:read"]), &json!(5), &json!(5))
    );
    assert!(listed["last_used_at"].is_string() && listed["rotated_at"].is_string());
}

async fn the_audit_log_is_for_whoever_may_see_it(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let auditor = house.scoped(Role::Reader, &["audit:read"]).await;
    for (key, status) in [(&house.admin, 200), (&auditor, 200), (&house.writer, 403), (&house.reader, 403)] {
        assert_eq!(house.get("/api/v1/audit", key).await.status(), status);
    }
    let store: Value = house.get("/api/v1/stores/367", &house.reader).await.json().await.unwrap();
    let query = format!(
        "/api/v1/audit?entity=store&entity_id={}&since=2020-01-01T00:00:00Z",
        store["store_id"].as_str().unwrap()
    );
    let page: Value = house.get(&query, &auditor).await.json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["action"]), (1, &json!("created")));
    let actor = items[0]["actor"].as_str().unwrap();
    let by_actor: Value =
        house.get(&format!("/api/v1/audit?actor={actor}&sort=-audit_id&limit=1"), &auditor).await.json().await.unwrap();
    assert_eq!(by_actor["items"][0]["entity"], "member", "newest first");
    assert!(by_actor["next"].is_string());
}
