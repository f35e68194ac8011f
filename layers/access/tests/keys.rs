//! Keys: made once, shown once, revoked at once; and what each role may do.

use crate::house::{House, problem};
use engine_postgres::Version;
use reqwest::Method;
use serde_json::{Value, json};

crate::on_both!(a_key_is_made_used_and_revoked, each_role_may_do_its_own, who_makes_and_revokes_a_key_is_on_record,);

async fn a_key_is_made_used_and_revoked(version: Version) {
    let house = House::open(version).await;
    let create =
        |body: Value| house.client.post(house.url("/api/v1/keys")).bearer_auth(&house.admin).json(&body).send();
    let made = create(json!({"name": "till-9", "role": "writer"})).await.unwrap();
    assert_eq!((made.status().as_u16(), made.headers()["cache-control"].to_str().unwrap()), (201, "no-store"));
    let made: Value = made.json().await.unwrap();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(house.get("/api/v1/stores", secret).await.status(), 200);
    let write: Value = create(json!({"name": "web", "kind": "write"})).await.unwrap().json().await.unwrap();
    let listed = house.get("/api/v1/keys", &house.admin).await.text().await.unwrap();
    assert!(listed.contains("till-9") && listed.contains("\"web\"") && !listed.contains(secret));
    let revoke = |id: Value| {
        let url = house.url(&format!("/api/v1/keys/{}", id.as_str().unwrap()));
        house.client.delete(url).bearer_auth(&house.admin).send()
    };
    assert_eq!(revoke(made["id"].clone()).await.unwrap().status(), 200);
    assert_eq!(house.get("/api/v1/stores", secret).await.status(), 401);
    assert_eq!(revoke(write["id"].clone()).await.unwrap().status(), 200);
    for id in ["nothing", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(problem(revoke(json!(id)).await.unwrap()).await.0, 404, "{id}");
    }
    for (body, place) in [
        (json!({"name": "x"}), "/role"),
        (json!({"name": "x", "role": "god"}), "/role"),
        (json!({"name": "x", "kind": "write", "role": "admin"}), "/role"),
        (json!({"name": "", "role": "reader"}), "/name"),
        (json!({"name": "x", "role": "reader", "secret": "mine"}), "/secret"),
    ] {
        let (status, _, pointer) = problem(create(body.clone()).await.unwrap()).await;
        assert_eq!((status, pointer.as_str()), (422, place), "{body}");
    }
}

async fn each_role_may_do_its_own(version: Version) {
    let house = House::open(version).await;
    let cases = [
        (Method::GET, "/api/v1/stores", [true, true, true]),
        (Method::GET, "/api/v1/orders/x", [true, true, true]),
        (Method::POST, "/api/v1/stores", [false, true, true]),
        (Method::POST, "/api/v1/batch", [false, true, true]),
        (Method::GET, "/api/v1/keys", [false, false, true]),
        (Method::POST, "/api/v1/keys", [false, false, true]),
        (Method::DELETE, "/api/v1/keys/x", [false, false, true]),
    ];
    for (method, path, may) in cases {
        let anonymous = house.client.request(method.clone(), house.url(path)).send().await.unwrap();
        assert_eq!(problem(anonymous).await.1, "access.unauthorised");
        for (key, may) in [&house.reader, &house.writer, &house.admin].into_iter().zip(may) {
            let answer = house.client.request(method.clone(), house.url(path)).bearer_auth(key).send().await.unwrap();
            assert_eq!(answer.status() != 403, may, "{method} {path}: {}", answer.status());
        }
    }
}

async fn who_makes_and_revokes_a_key_is_on_record(version: Version) {
    let house = House::open(version).await;
    let boss = house.value("select api_key_id::text from crm.api_key where name = 'boss'").await;
    let as_boss = |method, path: &str| {
        let request = house.client.request(method, house.url(path)).bearer_auth(&house.admin);
        request.header("X-Reason", "till stolen").header("X-Request-Id", "r-7")
    };
    let body = json!({"name": "till-9", "role": "writer"});
    let made: Value = as_boss(Method::POST, "/api/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap();
    assert_eq!(as_boss(Method::DELETE, &format!("/api/v1/keys/{id}")).send().await.unwrap().status(), 200);
    let told = house
        .value(&format!(
            "select string_agg(concat_ws(' ', action, actor, reason, request_id), ', ' order by audit_id)
            from crm.audit_log where entity = 'api_key' and entity_id = '{id}'"
        ))
        .await;
    assert_eq!(told, format!("created {boss} till stolen r-7, revoked {boss} till stolen r-7"));
}
