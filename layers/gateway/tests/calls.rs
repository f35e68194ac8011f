//! Every call, as real SDKs send it.

use crate::house::{House, KEY, gzip, read, view};
use model::behaviour::EventType;
use reqwest::StatusCode;
use reqwest::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

#[tokio::test]
async fn every_call_in_long_and_short_form() {
    let house = House::open().await;
    let calls = [
        ("track", "t", json!({"event": "Coupon Picked"}), "coupon_picked", EventType::Track),
        ("page", "p", json!({"name": "Home"}), "page_view", EventType::Page),
        ("screen", "s", json!({"name": "Home"}), "page_view", EventType::Screen),
        ("identify", "i", json!({"traits": {"plan": "gold"}}), "identify", EventType::Identify),
        ("group", "g", json!({"groupId": "g-1"}), "group", EventType::Group),
        ("alias", "a", json!({"previousId": "old"}), "alias", EventType::Alias),
    ];
    for (long, short, body, name, kind) in calls {
        for call in [long, short] {
            let mut body = body.clone();
            body["userId"] = json!("u-1");
            body["messageId"] = json!(call);
            let (status, answer) = house.send(call, &body).await;
            assert_eq!(
                (status, &answer["accepted"], &answer["rejected"]),
                (StatusCode::OK, &json!(1), &json!(0)),
                "{call}"
            );
            let events = house.events().await;
            let event = events.iter().find(|event| event.message_id == call).unwrap();
            assert_eq!((event.name.as_str(), event.kind, event.user_id.as_deref()), (name, kind, Some("u-1")));
            assert_eq!(event.source, "web shop");
        }
    }
    for call in ["batch", "b", "import"] {
        let (status, answer) =
            house.send(call, &json!({"batch": [view("a-1", call)], "sentAt": "2026-03-01T12:00:00Z"})).await;
        assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(1)), "{answer}");
    }
    assert_eq!(house.send("delete", &json!({})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(house.events().await.len(), 15);
}

#[tokio::test]
async fn a_batch_is_answered_with_a_position_and_clocks_are_repaired() {
    let house = House::open().await;
    let mut late = view("a-1", "late");
    late["timestamp"] = json!("2020-01-01T00:00:00Z");
    let batch = json!({"batch": [late, view("a-1", "m-2"), {"type": "track"}], "sentAt": "2020-01-01T00:00:30Z",
        "context": {"library": {"name": "x"}}});
    let (status, answer) = house.send("batch", &batch).await;
    assert_eq!(
        (status, &answer["success"], &answer["accepted"], &answer["rejected"]),
        (StatusCode::OK, &json!(true), &json!(1), &json!(2))
    );
    let position: model::Position = answer["position"].as_str().unwrap().parse().unwrap();
    let records = house.records(model::topic::EVENTS).await;
    assert_eq!(position, model::Position::Events([(records[0].at.partition, records[0].offset)].into()));
    assert_eq!(records[0].key.as_deref(), Some(b"a-1".as_slice()));
    assert_eq!(records[0].timestamp_ms, crate::house::now().as_millisecond());
    let event = &house.events().await[0];
    assert_eq!(event.occurred_at.to_string(), "2026-03-01T11:59:30Z", "30 s before it was sent, by any clock");
    assert_eq!(event.context["library"]["name"], "x");
    let rejected = house.rejected().await;
    let mut codes: Vec<&str> = rejected.iter().map(|event| event.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["gateway.id_missing", "gateway.timestamp_future"], "m-2 is six years after it was sent");
    let empty = house.send("batch", &json!({"batch": []})).await;
    assert_eq!(empty, (StatusCode::OK, json!({"success": true, "accepted": 0, "rejected": 0})));
}

#[tokio::test]
async fn gzip_labelled_or_not() {
    let house = House::open().await;
    let body = |id: &str| gzip(json!({"batch": [view("a-1", id)]}).to_string().as_bytes());
    let labelled = house.post("batch").header(CONTENT_ENCODING, "gzip").body(body("m-1"));
    // RudderStack's Node SDK says form, posthog-js says text and nothing of gzip.
    let form = house
        .post("batch")
        .header(CONTENT_ENCODING, "gzip")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body("m-2"));
    let bare = house.post("batch").header(CONTENT_TYPE, "text/plain").body(body("m-3"));
    for request in [labelled, form, bare] {
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(1)), "{answer}");
    }
    assert_eq!(house.events().await.len(), 3);
}

#[tokio::test]
async fn the_write_key_may_stand_in_the_body() {
    let house = House::open().await;
    let send = async |call: &str, body: Value| {
        let request = house
            .http
            .post(format!("{}/v1/{call}", house.url))
            .header(CONTENT_TYPE, "text/plain")
            .body(body.to_string());
        read(request.send().await.unwrap()).await
    };
    let one = |key: Value| json!({"event": "A", "userId": "u", "writeKey": key});
    assert_eq!(send("t", one(json!(KEY))).await.0, StatusCode::OK);
    assert_eq!(send("b", json!({"batch": [view("a", "m")], "writeKey": KEY})).await.0, StatusCode::OK);
    for key in [json!("wrong"), json!(null), json!(7), json!("")] {
        let (status, problem) = send("t", one(key.clone())).await;
        assert_eq!(
            (status, &problem["code"], &problem["retry"]),
            (StatusCode::UNAUTHORIZED, &json!("gateway.write_key"), &json!(false)),
            "{key}"
        );
    }
    assert_eq!(house.events().await.len(), 2);
}

#[tokio::test]
async fn browsers_may_send_from_any_page() {
    let house = House::open().await;
    let url = format!("{}/v1/t", house.url);
    let preflight = house.http.request(reqwest::Method::OPTIONS, &url).header("origin", "https://shop.example");
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,authorization");
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "content-type,authorization");
    let sent = house.post("t").header("origin", "https://shop.example").header(CONTENT_TYPE, "text/plain");
    let answer = sent.body(json!({"event": "A", "anonymousId": "a"}).to_string()).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN].to_str().unwrap()),
        (StatusCode::OK, &"*")
    );
    let refused = house.http.post(&url).header("origin", "https://shop.example").body("{}").send().await.unwrap();
    assert_eq!(refused.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "pages must be able to read problems too");
}

#[tokio::test]
async fn the_browser_sdk_gets_its_settings() {
    let house = House::open().await;
    let settings = async |key: &str| {
        read(house.http.get(format!("{}/v1/projects/{key}/settings", house.url)).send().await.unwrap()).await
    };
    let (status, answer) = settings(KEY).await;
    assert_eq!(status, StatusCode::OK);
    let host = house.url.strip_prefix("http://").unwrap();
    let expected = json!({"apiKey": KEY, "apiHost": format!("{host}/v1"), "protocol": "http"});
    let segment = &answer["integrations"]["Segment.io"];
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&segment[key], value);
    }
    assert!(answer["plan"]["track"]["__default"]["enabled"].as_bool().unwrap());
    assert_eq!(settings("unknown").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn meters_count_what_was_done() {
    let house = House::open().await;
    house.send("batch", &json!({"batch": [view("a", "1"), view("a", "2"), {}]})).await;
    house.send("batch", &json!([])).await;
    let status = house.telemetry.status().remove(0);
    assert_eq!((status.records, status.errors, status.last_error.as_deref()), (2, 1, Some("gateway.json")));
    assert!(house.telemetry.prometheus().contains(r#"storewide_records_total{kind="rejected",layer="gateway"} 1"#));
}
