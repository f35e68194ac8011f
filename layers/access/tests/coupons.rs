//! Coupons through the door: tried without a key, used with one, codes shown to few.

use crate::house::{House, problem};
use engine_postgres::Version;
use serde_json::{Value, json};

crate::on_both!(a_coupon_goes_from_its_definition_to_its_use,);

async fn a_coupon_goes_from_its_definition_to_its_use(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let definition =
        json!({"definition_code": "ten", "title": "Ten per cent", "discount_type": "percent", "percent_bp": 1000});
    house.put("/api/v1/coupon-definitions", &definition).await;
    let keyed = |path: &str, key: &str| house.post(path).header("Idempotency-Key", key.to_owned());
    let issue = json!({"definition_code": "ten", "count": 3, "prefix": "SPRING"});
    let issued: Value = keyed("/api/v1/coupons/issue", "k1").json(&issue).send().await.unwrap().json().await.unwrap();
    let batch = issued["result"]["batch_id"].as_str().unwrap().to_owned();
    let codes = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["code"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let path = format!("/api/v1/coupons?batch={batch}");
    let seen = codes(&house.get(&path, &house.admin).await.json().await.unwrap());
    assert!(seen.len() == 3 && seen.iter().flatten().all(|code| code.starts_with("SPRING-")), "{seen:?}");
    assert_eq!(codes(&house.get(&path, &house.reader).await.json().await.unwrap()), [None, None, None]);

    let code = seen[0].clone().unwrap();
    let cart = json!({"member_no": "m1", "currency": "USD",
        "lines": [{"line_no": 1, "sku_code": "s1", "quantity": "2", "unit_price_minor": 699}]});
    let tried = house.put("/api/v1/coupons/validate", &json!({"codes": [code], "cart": cart})).await;
    assert_eq!((&tried["effect"], &tried["result"]["discount_minor"]), (&json!("unchanged"), &json!(140)));
    let redeem =
        json!({"codes": [{"code": code.to_lowercase()}], "order": {"source": "web", "order_no": "1"}, "cart": cart});
    let bare = house.post("/api/v1/coupons/redeem").json(&redeem).send().await.unwrap();
    assert_eq!(problem(bare).await.1, "oltp.idempotency_key_required");
    let used: Value = keyed("/api/v1/coupons/redeem", "k2").json(&redeem).send().await.unwrap().json().await.unwrap();
    assert_eq!(used["result"]["discount_minor"], 140, "{used}");
    let again: Value = keyed("/api/v1/coupons/redeem", "k2").json(&redeem).send().await.unwrap().json().await.unwrap();
    assert_eq!((&again["repeated"], &again["result"]), (&json!(true), &used["result"]));
    let other = json!({"codes": [{"code": code}], "order": {"source": "web", "order_no": "2"}, "cart": cart});
    let refused = problem(keyed("/api/v1/coupons/redeem", "k3").json(&other).send().await.unwrap()).await;
    assert_eq!(refused, (409, "oltp.coupon_already_redeemed".to_owned(), "/codes/0/code".to_owned()));
}
