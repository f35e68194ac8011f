//! No personal data reaches `behaviour.events`: seeded values are looked for in every byte of every record.

use crate::house::{House, tokeniser};
use model::{IdentityKind, topic};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Values that must not be found, in lower case.
const SEEDED: [&str; 17] = [
    "ann.lee",
    "seed.example",
    "5550109999",
    "010-9999",
    "annabel",
    "zimmermann",
    "elm street",
    "53113",
    "1990-02-03",
    "203.0.113.77",
    "hunter2",
    "4111111111111111",
    "50.737",
    "2001:db8:1:2",
    "0171234",
    "wanda",
    "ringstr",
];

fn person() -> Value {
    json!({"email": "Ann.Lee@seed.example", "phone": "+1 555 010-9999", "firstName": "Annabel", "last_name": "Zimmermann",
        "name": "Annabel Zimmermann", "address": {"street": "1 Elm Street", "postalCode": "53113"}, "birthday": "1990-02-03",
        "ip": "203.0.113.77", "password": "hunter2", "plan": "gold"})
}

fn events() -> Vec<Value> {
    let context = json!({"ip": "203.0.113.77", "userAgent": "Mozilla/5.0", "traits": person(),
        "location": {"latitude": 50.737, "city": "Bonn"},
        "page": {"url": "https://shop.example/a?email=ann.lee%40seed.example&x=1#ann.lee@seed.example",
            "referrer": "mailto:Ann.Lee@seed.example", "title": "Hello Ann.Lee@seed.example"}});
    let mut properties = person();
    properties["name"] = json!("Mug");
    properties["sku"] = json!("s-1");
    properties["customer"] = person();
    properties["recipient"] = json!("ann.lee@seed.example");
    // Names that no list has, as shops make them up.
    for name in ["recipient_phone", "customer_phone", "alt_phone_no", "shippingPhone"] {
        properties[name] = json!("0171234 56");
    }
    for name in ["sender", "shipping_name", "customerName", "billing_last_name", "gift_recipient"] {
        properties[name] = json!("Wanda");
    }
    for name in ["address_line_1", "shipping_address_line_2", "home_address", "billing street"] {
        properties[name] = json!("Ringstr. 5");
    }
    for name in ["postal_code", "zip", "delivery_zip_code", "billingPostcode"] {
        properties[name] = json!("53113");
    }
    properties["friends"] = json!(["Wanda", {"name": "Wanda"}]);
    properties["shipping"] = json!({"name": "Wanda", "street": "Ringstr. 5", "cost": 4.5});
    properties["category_name"] = json!("Mugs");
    properties["creditCardNumber"] = json!("4111111111111111");
    properties["products"] =
        json!([{"sku": "s-1", "engraving_for": "ann.lee@seed.example", "Phone Number": 15_550_109_999_u64}]);
    properties["ann.lee@seed.example"] = json!({"deep": {"call": "tel:+15550109999"}});
    let with = |mut event: Value| {
        event["context"] = context.clone();
        event
    };
    vec![
        with(json!({"type": "identify", "anonymousId": "a-1", "userId": "Ann.Lee@seed.example", "traits": person()})),
        with(
            json!({"type": "track", "event": "Product Viewed", "anonymousId": "a-1", "properties": properties.clone()}),
        ),
        with(json!({"type": "track", "event": "Mail to ann.lee@seed.example", "anonymousId": "ann.lee@seed.example",
            "messageId": "1:ann.lee@seed.example", "properties": properties})),
        with(json!({"type": "alias", "previousId": "+1 555 010 9999", "userId": "u-1"})),
        with(json!({"type": "group", "groupId": "ann.lee@seed.example", "userId": "u-1", "traits": person()})),
        json!({"type": "page", "userId": "x-ann.lee@seed.example", "name": "ann.lee@seed.example", "context": {"ip": "2001:db8:1:2::3"}}),
    ]
}

#[tokio::test]
async fn seeded_values_are_in_no_byte_of_the_events() {
    let house = House::open().await;
    let (status, answer) = house.send("batch", &json!({"batch": events()})).await;
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(6)), "{answer}");
    for record in house.records(topic::EVENTS).await {
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap().to_lowercase();
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap().to_lowercase();
        for seeded in SEEDED {
            assert!(!key.contains(seeded), "{seeded} in the key {key}");
            assert!(!value.contains(seeded), "{seeded} in {value}");
        }
    }
}

#[tokio::test]
async fn what_is_taken_out_is_kept_as_tokens() {
    let house = House::open().await;
    house.send("batch", &json!({"batch": events()})).await;
    let email = tokeniser().identify(IdentityKind::Email, "ann.lee@seed.example").unwrap();
    let phone = tokeniser().identify(IdentityKind::Phone, "+15550109999").unwrap();
    let events = house.events().await;
    let identify = events.iter().find(|event| event.name == "identify").unwrap();
    assert_eq!(identify.identities, [email.clone(), phone.clone()]);
    assert_eq!(identify.user_id, Some(email.to_string()));
    assert_eq!(identify.properties, *json!({"plan": "gold"}).as_object().unwrap());
    assert_eq!(
        (&identify.context["ip"], &identify.context["userAgent"]),
        (&json!("203.0.113.0"), &json!("Mozilla/5.0"))
    );
    let view = events.iter().find(|event| event.name == "product_viewed").unwrap();
    assert_eq!((&view.properties["name"], &view.properties["sku"]), (&json!("Mug"), &json!("s-1")));
    assert_eq!(
        (&view.properties["category_name"], &view.properties["shipping"]),
        (&json!("Mugs"), &json!({"cost": 4.5}))
    );
    let alias = events.iter().find(|event| event.name == "alias").unwrap();
    assert_eq!(alias.previous_id, Some(phone.to_string()));
}
