//! What is taken out, and what stays.

use super::*;
use serde_json::json;

fn cleaned(part: Part, value: Value) -> (Value, Vec<String>, u64) {
    let tokeniser = Tokeniser::new(b"key");
    let mut cleaner = Cleaner::new(&tokeniser, IpPolicy::Truncate);
    let Value::Object(mut map) = value else { panic!("an object") };
    cleaner.clean(part, &mut map).unwrap();
    let kinds = cleaner.identities.iter().map(|identity| identity.kind.to_string()).collect();
    (Value::Object(map), kinds, cleaner.unusable)
}

#[test]
fn traits_lose_the_person_and_keep_the_rest() {
    let (traits, kinds, unusable) = cleaned(
        Part::Traits,
        json!({"email": "Ann@Example.com", "phone": "+15550109999", "firstName": "Ann", "name": "Ann Lee", "plan": "gold",
            "address": {"city": "Bonn"}, "birthday": "1990-01-01", "age": 36, "note": "mail ann@example.com"}),
    );
    assert_eq!(traits, json!({"plan": "gold", "age": 36, "note": "mail [email]"}));
    assert_eq!(kinds, ["email", "phone"]);
    assert_eq!(unusable, 0);
}

#[test]
fn properties_keep_product_names() {
    let (properties, kinds, _) = cleaned(
        Part::Properties,
        json!({"name": "Mug", "product_id": 12, "products": [{"name": "Cup", "sku": 7, "email": "a@b.de"}],
            "customer": {"name": "Ann", "tier": 1}, "recipient": "ann@example.com", "loyalty_card": "4711"}),
    );
    let expected = json!({"name": "Mug", "product_id": "12", "products": [{"name": "Cup", "sku": "7"}],
        "customer": {"tier": 1}});
    assert_eq!(properties, expected);
    assert_eq!(kinds, ["card"], "an address below the top may be somebody else's");
}

#[test]
fn people_in_plain_words_go_and_goods_stay() {
    let (properties, kinds, unusable) = cleaned(
        Part::Properties,
        json!({"recipient": "Ann Lee", "recipients": ["Ann Lee", 491_711_234_567_u64, {"name": "Bo", "gift": true}],
            "customer_phone": "0171 1234567", "customer_name": "Ann", "postal_code": 53113, "phone_verified": true,
            "shipping": {"name": "Ann Lee", "method": "express", "items": [{"name": "Mug"}]}, "billing": "monthly",
            "product": {"name": "Cup"}, "category_name": "Cups", "coupon_name": "MAY"}),
    );
    let expected = json!({"recipients": [{"gift": true}], "phone_verified": true,
        "shipping": {"method": "express", "items": [{"name": "Mug"}]}, "billing": "monthly",
        "product": {"name": "Cup"}, "category_name": "Cups", "coupon_name": "MAY"});
    assert_eq!(properties, expected);
    assert_eq!((kinds.len(), unusable), (0, 1), "a phone without its country is nobody's");
}

#[test]
fn context_keeps_the_network_of_an_ip() {
    let ip = |text: &str| cleaned(Part::Context, json!({"ip": text, "userAgent": "x"})).0;
    assert_eq!(ip("203.0.113.77"), json!({"ip": "203.0.113.0", "userAgent": "x"}));
    assert_eq!(ip("2001:db8:1:2::3"), json!({"ip": "2001:db8:1::", "userAgent": "x"}));
    assert_eq!(ip("::ffff:203.0.113.77"), json!({"ip": "203.0.113.0", "userAgent": "x"}));
    assert_eq!(ip("not an ip"), json!({"userAgent": "x"}));
    let (context, kinds, _) =
        cleaned(Part::Context, json!({"traits": {"email": "a@b.de", "name": "Ann"}, "app": {"name": "Shop"}}));
    assert_eq!(context, json!({"traits": {}, "app": {"name": "Shop"}}));
    assert_eq!(kinds, ["email"]);
}

#[test]
fn keys_are_masked_too_and_bad_identities_counted() {
    let (properties, kinds, unusable) =
        cleaned(Part::Properties, json!({"ann@example.com": 1, "email": "nonsense", "phone": [1]}));
    assert_eq!(properties, json!({"[email]": 1}));
    assert!(kinds.is_empty());
    assert_eq!(unusable, 2);
}

#[test]
fn ids_that_are_addresses_become_tokens() {
    let tokeniser = Tokeniser::new(b"key");
    let mut cleaner = Cleaner::new(&tokeniser, IpPolicy::Drop);
    let token = tokeniser.identify(IdentityKind::Email, "ann@example.com").unwrap().token;
    assert_eq!(cleaner.id("Ann@Example.com".to_owned()), format!("email:{token}"));
    assert_eq!(cleaner.identities.len(), 1);
    assert_eq!(cleaner.id("shop:ann@example.com/7".to_owned()), format!("shop:{token}/7"));
    assert_eq!(cleaner.id("ann%40example.com".to_owned()), token);
    assert!(cleaner.id("+1 555 010 9999".to_owned()).starts_with("phone:"));
    for id in ["u-17", "@home", "100%", "+x"] {
        assert_eq!(cleaner.id(id.to_owned()), id);
    }
}

#[test]
fn monstrous_shapes_are_refused() {
    let tokeniser = Tokeniser::new(b"key");
    let clean = |value: Value| {
        let Value::Object(mut map) = value else { panic!("an object") };
        Cleaner::new(&tokeniser, IpPolicy::Drop).clean(Part::Properties, &mut map)
    };
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert_eq!(clean(nested(DEPTH_MAX)), Ok(()));
    assert_eq!(clean(nested(DEPTH_MAX + 1)), Err(Shape::TooDeep));
    assert_eq!(clean(json!({"a": {"b": vec![1; NODES_MAX + 1], "c": {}}})), Err(Shape::TooMany));
    let wide: Map<String, Value> = (0..=NODES_MAX).map(|i| (format!("k{i}"), json!(1))).collect();
    assert_eq!(clean(json!({ "a": wide, "b": {} })), Err(Shape::TooMany));
}
