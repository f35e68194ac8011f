//! What becomes of single events.

use super::*;
use serde_json::json;

const RECEIVED: &str = "2026-03-01T12:00:00Z";

fn event(call: Call, sent: &Value) -> Result<BehaviourEvent, Box<Rejection>> {
    let canonicaliser = Canonicaliser::new(Config::default(), Tokeniser::new(b"key"), Arc::new(Registry::embedded()));
    let receipt = Receipt {
        call,
        sent_at: None,
        context: None,
        received: RECEIVED.parse().unwrap(),
        source: "web",
        new_id: || "made".to_owned(),
    };
    canonicaliser.event(&sent.to_string(), &receipt)
}

fn track(mut sent: Value) -> Result<BehaviourEvent, Box<Rejection>> {
    let fields = sent.as_object_mut().unwrap();
    for (key, value) in [("event", json!("Product Viewed")), ("anonymousId", json!("a-1")), ("messageId", json!("m-1"))]
    {
        fields.entry(key).or_insert(value);
    }
    fields.entry("properties").or_insert(json!({"product_id": "p-1"}));
    event(Call::One(EventType::Track), &sent)
}

fn code(result: Result<BehaviourEvent, Box<Rejection>>) -> &'static str {
    result.expect_err("refused").code
}

#[test]
fn a_view_becomes_canonical() {
    let event = track(json!({"userId": 17, "timestamp": "2026-03-01T11:59:00Z", "context": {"locale": "de",
        "consent": {"categoryPreferences": {"ads": false}}}, "properties": {"sku": 4711, "price": 5}}))
    .unwrap();
    assert_eq!((event.name.as_str(), event.kind, event.contract_version), ("product_viewed", EventType::Track, 1));
    assert_eq!(
        (event.message_id.as_str(), event.anonymous_id.as_deref(), event.user_id.as_deref()),
        ("m-1", Some("a-1"), Some("17"))
    );
    assert_eq!(event.properties["sku"], "4711");
    assert_eq!(event.consent, Some(json!({"categoryPreferences": {"ads": false}})));
    assert_eq!(event.context, *json!({"locale": "de"}).as_object().unwrap());
    assert_eq!((event.occurred_at.to_string().as_str(), event.source.as_str()), ("2026-03-01T11:59:00Z", "web"));
    assert!(event.enrichment.is_empty());
}

#[test]
fn names_and_aliases_meet() {
    let name = |name: &str, properties: Value| track(json!({"event": name, "properties": properties})).unwrap().name;
    assert_eq!(name("Viewed Product", json!({"sku": "s"})), "product_viewed");
    assert_eq!(name("Products Searched", json!({"query": "mug"})), "search");
    assert_eq!(name("Signed In", json!(null)), "login");
    assert_eq!(name("Colour Picked", json!({})), "colour_picked");
    assert_eq!(name("ann@example.com came", json!({})), "email_came");
    let page = event(Call::One(EventType::Page), &json!({"userId": "u", "name": "Home", "category": "top"})).unwrap();
    assert_eq!((page.name.as_str(), &page.properties["name"]), ("page_view", &json!("Home")));
    assert_eq!(page.message_id, "made");
    assert_eq!(page.enrichment["message_id"], "gateway");
}

#[test]
fn identify_group_and_alias() {
    let identify = json!({"type": "identify", "anonymousId": "a", "userId": "u", "traits": {"email": "ann@example.com", "plan": "gold"}});
    let identify = event(Call::Batch, &identify).unwrap();
    assert_eq!((identify.name.as_str(), identify.identities.len()), ("identify", 1));
    assert_eq!(identify.properties, *json!({"plan": "gold"}).as_object().unwrap());
    let alias = event(Call::Batch, &json!({"type": "alias", "previousId": "a", "userId": "u"})).unwrap();
    assert_eq!((alias.name.as_str(), alias.previous_id.as_deref()), ("alias", Some("a")));
    let group =
        event(Call::Batch, &json!({"type": "group", "userId": "u", "groupId": 9, "traits": {"name": "Acme"}})).unwrap();
    assert_eq!(group.properties, *json!({"group_id": "9"}).as_object().unwrap());
}

#[test]
fn each_fault_has_its_code() {
    let long = "x".repeat(101);
    for (sent, expected) in [
        (json!({"event": ""}), "gateway.event_name"),
        (json!({"event": 7}), "gateway.event_name"),
        (json!({"event": "n".repeat(201)}), "gateway.event_name"),
        (json!({"anonymousId": null}), "gateway.id_missing"),
        (json!({"anonymousId": " "}), "gateway.id_missing"),
        (json!({"anonymousId": ["a"]}), "gateway.id"),
        (json!({"userId": "a\u{0}b"}), "gateway.id"),
        (json!({"userId": "x".repeat(321)}), "gateway.id"),
        (json!({ "messageId": long }), "gateway.message_id"),
        (json!({"timestamp": "soon"}), "gateway.timestamp"),
        (json!({"timestamp": "2027-01-01T00:00:00Z"}), "gateway.timestamp_future"),
        (json!({"timestamp": "1999-01-01T00:00:00Z"}), "gateway.timestamp_past"),
        (json!({"context": "x"}), "gateway.event_form"),
        (json!({"properties": [1]}), "gateway.event_form"),
        (json!({"properties": {}}), "gateway.contract"),
        (json!({"properties": {"sku": "s", "quantity": -1}}), "gateway.contract"),
        (json!({"properties": {"sku": "s", "note": "x".repeat(33_000)}}), "gateway.event_too_large"),
    ] {
        assert_eq!(code(track(sent.clone())), expected, "{}", sent.to_string().get(..80).unwrap_or("short"));
    }
    for (sent, expected) in [
        (json!({"anonymousId": "a"}), "gateway.event_type"),
        (json!({"type": "delete", "anonymousId": "a"}), "gateway.event_type"),
        (json!({"type": "alias", "userId": "u"}), "gateway.id_missing"),
        (json!({"type": "group", "userId": "u"}), "gateway.id_missing"),
        (json!(7), "gateway.event_form"),
        (json!([{}]), "gateway.event_form"),
    ] {
        assert_eq!(code(event(Call::Batch, &sent)), expected, "{sent}");
    }
}

#[test]
fn rejections_keep_the_key_and_say_no_values() {
    let rejection = track(json!({"properties": {"sku": "s", "price": "ann@example.com"}})).unwrap_err();
    assert_eq!((rejection.key.as_deref(), rejection.contract_version), (Some("a-1"), 1));
    assert!(rejection.reason.starts_with("/properties/price: "), "{}", rejection.reason);
    assert!(!rejection.reason.contains("ann"), "{}", rejection.reason);
}

#[test]
fn texts_that_are_no_events_are_refused() {
    let canonicaliser = Canonicaliser::new(Config::default(), Tokeniser::new(b"key"), Arc::default());
    let receipt = Receipt {
        call: Call::Batch,
        sent_at: None,
        context: None,
        received: RECEIVED.parse().unwrap(),
        source: "web",
        new_id: String::new,
    };
    let deep =
        format!("{{\"type\":\"track\",\"properties\":{}{}}}", "{\"a\":".repeat(200), "1".to_owned() + &"}".repeat(200));
    for raw in [r#"{"type":"track","event":"\ud800"}"#, r#"{"type":1e999}"#, r#"{"type":"track","type":"page"}"#, &deep]
    {
        assert_eq!(code(canonicaliser.event(raw, &receipt)), "gateway.event_form");
    }
}
