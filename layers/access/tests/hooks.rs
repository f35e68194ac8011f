//! The door of sources: what is theirs is kept before it is answered, and nothing else is.

use crate::house::{House, SHOP_SECRET, TILL_KEY, problem, secret};
use access::receiver::{Raw, Receiver, Receivers, Rejection};
use access::{Config, Intake};
use axum::http::HeaderMap;
use bytes::Bytes;
use contract::Source;
use contract::sources::{SecretPlace, Sources};
use engine_postgres::Version;
use reqwest::{RequestBuilder, StatusCode};
use runtime::standard_webhooks::Secret;
use serde_json::Value;
use std::sync::Arc;

crate::on_both!(a_signed_delivery_is_kept_once, what_is_not_theirs_is_not_kept, a_till_knows_its_key,);

/// A delivery of the web shop, signed now.
pub fn signed(house: &House, id: &str, body: &str) -> RequestBuilder {
    let now = jiff_now();
    let signature = SHOP_SECRET.parse::<Secret>().unwrap().sign(id, now, body.as_bytes());
    let request = house.client.post(house.url("/hooks/standard_webhooks/main"));
    let request = request.header("webhook-id", id).header("webhook-timestamp", now.to_string());
    request.header("webhook-signature", signature).body(body.to_owned())
}

fn jiff_now() -> i64 {
    model::Timestamp::now().as_second()
}

async fn a_signed_delivery_is_kept_once(version: Version) {
    let house = House::open(version).await;
    let first = signed(&house, "msg_1", r#"{"type": "ping"}"#).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let first: Value = first.json().await.unwrap();
    let again = signed(&house, "msg_1", r#"{"type": "pong"}"#).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    let again: Value = again.json().await.unwrap();
    assert_eq!(
        (&again["id"], &again["received_at"], &again["repeated"]),
        (&first["id"], &first["received_at"], &true.into())
    );
    // Signed, and no JSON: it is theirs, so it is kept.
    let odd = signed(&house, "msg_2", "no json").send().await.unwrap();
    assert_eq!(odd.status(), StatusCode::ACCEPTED);
    let kept = house.value("select string_agg(concat_ws(' ', source, account, delivery_id, kind, convert_from(payload, 'UTF8')), '; ' order by arrival) from crm.inbox").await;
    assert_eq!(kept, r#"example_shop main msg_1 ping {"type": "ping"}; example_shop main msg_2 no json"#);
}

async fn what_is_not_theirs_is_not_kept(version: Version) {
    let mut config = Config::default();
    config.inbox.body_bytes_max = 10_000;
    let house = House::with(version, config).await;
    let send = |request: RequestBuilder| async { problem(request.send().await.unwrap()).await };
    let good = |body: &str| signed(&house, "msg_1", body);
    let stale = signed(&house, "msg_1", "{}").header("x", "y").build().unwrap();
    let mut stale_headers = stale.headers().clone();
    stale_headers.insert("webhook-timestamp", (jiff_now() - 301).to_string().parse().unwrap());
    let cases = [
        (good("{}").body(r#"{"other": 1}"#), (401, "access.unsigned")),
        (house.client.post(house.url("/hooks/standard_webhooks/main")).body("{}"), (401, "access.unsigned")),
        (
            house.client.post(house.url("/hooks/standard_webhooks/main")).bearer_auth(&house.admin).body("{}"),
            (401, "access.unsigned"),
        ),
        (
            house.client.post(house.url("/hooks/standard_webhooks/main")).headers(stale_headers).body("{}"),
            (401, "access.unsigned"),
        ),
        (house.client.post(house.url("/hooks/standard_webhooks/other")).body("{}"), (404, "access.unknown_source")),
        (house.client.post(house.url("/hooks/json/main")).body("{}"), (404, "access.unknown_source")),
        (good("{}").header("content-encoding", "gzip"), (415, "access.unsupported_encoding")),
        (good(&"x".repeat(10_001)), (413, "access.body_too_large")),
    ];
    for (n, (request, wanted)) in cases.into_iter().enumerate() {
        let (status, code, _) = send(request).await;
        assert_eq!((status, code.as_str()), wanted, "case {n}");
    }
    assert_eq!(house.value("select count(*)::text from crm.inbox").await, "0");
}

async fn a_till_knows_its_key(version: Version) {
    let house = House::open(version).await;
    let post = |key: &str| house.client.post(house.url("/hooks/json/till")).header("x-api-key", key.to_owned());
    let body = r#"{"receipt": {"no": "1"}}"#;
    for key in ["", "wrong", &TILL_KEY[1..]] {
        assert_eq!(problem(post(key).body(body).send().await.unwrap()).await.0, 401, "{key}");
    }
    let named = post(TILL_KEY).header("x-delivery-id", "d-1").header("x-till", "7").body(body);
    assert_eq!(named.send().await.unwrap().status(), 202);
    // Without an id, equal bodies are one delivery.
    assert_eq!(post(TILL_KEY).body(body).send().await.unwrap().status(), 202);
    assert_eq!(post(TILL_KEY).body(body).send().await.unwrap().status(), 200);
    let long = "x".repeat(2_000);
    assert_eq!(post(TILL_KEY).header("x-delivery-id", &long).body(body).send().await.unwrap().status(), 202);
    let kept = house.value("select string_agg(concat_ws(' ', left(delivery_id, 7), kind, entity_key, headers), '; ' order by arrival) from crm.inbox").await;
    assert_eq!(kept, r#"d-1 receipt 1 {"x-till": "7"}; sha256: receipt 1 {}; sha256: receipt 1 {}"#);
}

const VECTOR_BODY: &str = r#"{"test": 2432232314}"#;
const VECTOR_SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const VECTOR_AT: i64 = 1_614_265_330;

fn receiver(
    change: impl Fn(&str) -> String,
    secret: &dyn Fn(&SecretPlace) -> Result<String, String>,
) -> Arc<dyn Receiver> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/sources/example_shop.yaml");
    let text = change(&std::fs::read_to_string(path).unwrap());
    let sources = Sources::read(&[Source::embedded("shop.yaml", &text)]).unwrap();
    let receivers = Receivers::open(&sources, Intake::limits(&Config::default()), secret).unwrap();
    Arc::clone(receivers.of("example_shop").unwrap())
}

fn verify(receiver: &dyn Receiver, signature: &str, at: i64) -> Result<String, Rejection> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signature),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let body = Bytes::from_static(VECTOR_BODY.as_bytes());
    let at = model::Timestamp::from_second(at).unwrap();
    receiver.verify(&Raw { account: "main", headers: &headers, body: &body, at }).map(|arrival| arrival.delivery_id)
}

#[test]
fn the_published_vector_is_genuine_within_its_time() {
    let shop = receiver(str::to_owned, &secret);
    let id = Ok("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned());
    assert_eq!(verify(&*shop, VECTOR_SIGNED, VECTOR_AT), id);
    assert_eq!(verify(&*shop, &format!("v1,AAAA v2,x {VECTOR_SIGNED}"), VECTOR_AT), id);
    for (at, genuine) in [(-301, false), (-300, true), (300, true), (301, false)] {
        assert_eq!(verify(&*shop, VECTOR_SIGNED, VECTOR_AT + at).is_ok(), genuine, "{at}");
    }
    let lopsided = receiver(|text| text.replace("tolerance: 5m", "tolerance: 1h\ntolerance_ahead: 10s"), &secret);
    for (at, genuine) in [(-11, false), (-10, true), (3_600, true), (3_601, false)] {
        assert_eq!(verify(&*lopsided, VECTOR_SIGNED, VECTOR_AT + at).is_ok(), genuine, "{at}");
    }
    assert!(verify(&*shop, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", VECTOR_AT).is_err());
}

#[test]
fn while_a_secret_is_replaced_both_are_right() {
    let two = |text: &str| text.replace("[env:EXAMPLE_SHOP_SECRET]", "[env:NEW, env:EXAMPLE_SHOP_SECRET]");
    let both = |place: &SecretPlace| match place {
        SecretPlace::Environment(name) if name == "NEW" => Ok("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned()),
        other => secret(other),
    };
    assert!(verify(&*receiver(two, &both), VECTOR_SIGNED, VECTOR_AT).is_ok());
    let new: Secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".parse().unwrap();
    let signed = new.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", VECTOR_AT, VECTOR_BODY.as_bytes());
    assert!(verify(&*receiver(two, &both), &signed, VECTOR_AT).is_ok());
    assert!(verify(&*receiver(str::to_owned, &secret), &signed, VECTOR_AT).is_err());
    let nothing = |_: &SecretPlace| Err("none".to_owned());
    assert_eq!(verify(&*receiver(str::to_owned, &nothing), VECTOR_SIGNED, VECTOR_AT), Err(Rejection::Closed));
    let short = |_: &SecretPlace| Ok("whsec_AAAA".to_owned());
    assert_eq!(verify(&*receiver(str::to_owned, &short), VECTOR_SIGNED, VECTOR_AT), Err(Rejection::Closed));
}
