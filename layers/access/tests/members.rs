use crate::house::{House, order, problem};
use engine_postgres::Version;
use serde_json::{Value, json};

crate::on_both!(a_till_finds_a_member, an_export_is_for_those_who_see_personal_data);

async fn a_till_finds_a_member(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let ask = |key: &str, body: &Value| {
        house.client.post(house.url("/api/v1/members/lookup")).bearer_auth(key).json(body).send()
    };
    let email = json!({"kind": "email", "value": "ann@example.com"});
    let found: Value = ask(&house.admin, &email).await.unwrap().json().await.unwrap();
    assert_eq!((&found["member"]["member_no"], &found["member"]["first_name"]), (&json!("m1"), &json!("Annabel")));
    let both = json!({"candidates": [{"kind": "card", "value": "none"}, email]});
    let found: Value = ask(&house.reader, &both).await.unwrap().json().await.unwrap();
    assert_eq!(found["member"]["member_no"], "m1");
    assert!(!found.to_string().contains("Annabel"), "{found}");
    for (body, told) in [
        (json!({}), (422, "oltp.missing", "")),
        (json!({"kind": "email", "value": "secret-ann"}), (422, "oltp.invalid_identity", "/value")),
        (json!({"kind": "shoe", "value": "42"}), (422, "access.invalid_body", "/kind")),
    ] {
        let (status, code, pointer) = problem(ask(&house.reader, &body).await.unwrap()).await;
        assert_eq!((status, code.as_str(), pointer.as_str()), told);
    }
    let nobody = house.client.post(house.url("/api/v1/members/lookup")).json(&email).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
}

async fn an_export_is_for_those_who_see_personal_data(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    house.put("/api/v1/orders", &order("1")).await;
    let export: Value = house.get("/api/v1/members/m1/export", &house.admin).await.json().await.unwrap();
    assert_eq!(export["personal"][0]["first_name"], "Annabel");
    let noted = house
        .value("select string_agg(action, ',') from crm.audit_log where action = 'exported' and actor <> ''")
        .await;
    assert_eq!(noted, "exported");
    assert_eq!(export["sections"]["sales_order"]["rows"].as_array().unwrap().len(), 1);
    let orders = "/api/v1/members/m1/export?section=sales_order";
    let page: Value = house.get(orders, &house.admin).await.json().await.unwrap();
    let last = page["rows"][0]["order_id"].as_str().unwrap();
    let page: Value = house.get(&format!("{orders}&after={last}"), &house.admin).await.json().await.unwrap();
    assert_eq!(page, json!({"rows": [], "next": null}));
    let forbidden = problem(house.get("/api/v1/members/m1/export", &house.reader).await).await;
    assert_eq!((forbidden.0, forbidden.1.as_str()), (403, "access.forbidden"));
    for (path, status) in [
        ("/api/v1/members/nobody/export", 404),
        ("/api/v1/members/m1/export?section=api_key", 404),
        ("/api/v1/members/m1/export?after=x", 400),
        ("/api/v1/members/m1/export?colour=red", 400),
    ] {
        assert_eq!(problem(house.get(path, &house.admin).await).await.0, status, "{path}");
    }
}
