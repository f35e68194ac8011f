//! Bad input: refused in words, or kept in quarantine; never a 500, never a part of a write.

use crate::house::{House, KEY, gzip, read, view};
use bus::TopicPartition;
use gateway::{Config, quarantine};
use model::topic;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn nothing_was_written(house: &House) {
    for topic in [topic::EVENTS, topic::REJECTED] {
        assert!(house.records(topic).await.is_empty(), "{topic}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_bodies_are_problems() {
    let house = House::open().await;
    let deep = format!("{{\"batch\":[],\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [(&str, Vec<u8>); 9] = [
        ("", vec![]),
        ("text", b"hello".to_vec()),
        ("broken", b"{\"batch\":[{\"type\":".to_vec()),
        ("no list", b"{\"batch\":7}".to_vec()),
        ("no batch", b"{}".to_vec()),
        ("list", b"[1,2]".to_vec()),
        ("invalid UTF-8", b"{\"batch\":[{\"event\":\"\xff\xfe\"}]}".to_vec()),
        ("two documents", b"{\"batch\":[]}{\"batch\":[]}".to_vec()),
        ("torn gzip", gzip(b"{\"batch\":[]}")[..12].to_vec()),
    ];
    for (what, body) in bodies {
        let (status, problem) = read(house.post("batch").body(body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}: {problem}");
        assert!(problem["code"].as_str().unwrap().starts_with("gateway."), "{what}: {problem}");
    }
    // Nesting is refused or taken, and never breaks the door.
    let (status, _) = read(house.post("batch").body(deep).send().await.unwrap()).await;
    assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{status}");
    let (status, _) = read(house.post("batch").header(CONTENT_ENCODING, "br").body("{}").send().await.unwrap()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    nothing_was_written(&house).await;
}

#[tokio::test]
async fn limits_hold_before_and_after_inflating() {
    let house = House::open().await;
    let huge = json!({"batch": [view("a", "m")], "pad": "x".repeat(600_000)}).to_string();
    let bomb = gzip(format!("{{\"batch\":[],\"x\":\"{}\"}}", " ".repeat(50_000_000)).as_bytes());
    assert!(bomb.len() < 500_000);
    let many = json!({"batch": vec![json!({}); 2_501]}).to_string();
    let single = json!({"event": "A", "userId": "u", "properties": {"x": "y".repeat(33_000)}}).to_string();
    for (call, body) in [
        ("batch", huge.clone().into_bytes()),
        ("batch", gzip(huge.as_bytes())),
        ("batch", bomb),
        ("batch", many.into_bytes()),
        ("track", single.into_bytes()),
        ("batch", vec![b' '; 100_000_000]),
    ] {
        let size = body.len();
        let (status, problem) = read(house.post(call).body(body).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{call} {size}: {problem}");
    }
    nothing_was_written(&house).await;
    let most: Vec<Value> = (0..2_500).map(|i| json!({"type": "page", "userId": "u", "messageId": i})).collect();
    let (status, answer) = house.send("batch", &json!({ "batch": most })).await;
    assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(2_500)));
}

#[tokio::test]
async fn who_waits_for_a_word_before_sending_gets_it() {
    let house = House::open().await;
    let mut stream = TcpStream::connect(house.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /v1/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 900000000\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn strangers_who_send_nothing_take_no_room() {
    let house = House::open_with(Config { in_flight_bytes_max: 3_000, ..Config::default() }).await;
    let mut strangers = Vec::new();
    for length in ["content-length: 3000", "transfer-encoding: chunked"].repeat(2) {
        let mut stream = TcpStream::connect(house.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!("POST /v1/batch HTTP/1.1\r\nhost: x\r\n{length}\r\nexpect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100", "the body is waited for now");
        strangers.push(stream);
    }
    assert_eq!(house.send("batch", &json!({"batch": [view("a", "m")]})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_its_body() {
    let house = House::open().await;
    let mut stream = TcpStream::connect(house.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /v1/batch HTTP/1.1\r\nhost: x\r\nauthorization: Basic d3Jvbmc6\r\ncontent-length: 3000\r\n\
        expect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn a_slow_or_torn_body_is_refused() {
    let house = House::open_with(Config { body_time_max_ms: 50, ..Config::default() }).await;
    let mut stream = TcpStream::connect(house.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"POST /v1/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    let declared = house.post("t").header(CONTENT_LENGTH, "0").body("").send().await.unwrap();
    assert_eq!(declared.status(), StatusCode::BAD_REQUEST);
    nothing_was_written(&house).await;
}

#[tokio::test]
async fn bad_events_of_a_batch_go_to_quarantine_and_the_good_ones_on() {
    let house = House::open().await;
    let mut large = view("a", "large");
    large["properties"]["note"] = json!("x".repeat(40_000));
    let mut negative = view("a", "negative");
    negative["properties"]["quantity"] = json!(-1);
    let mut nested = view("a", "nested");
    nested["properties"]["deep"] = (0..60).fold(json!(1), |inner, _| json!({ "a": inner }));
    let batch = json!({"batch": [view("a", "good"), large, negative, nested, 7, {"type": "track"}]});
    let (status, answer) = house.send("batch", &batch).await;
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (StatusCode::OK, &json!(1), &json!(5)));
    let rejected = house.rejected().await;
    let mut codes: Vec<&str> = rejected.iter().map(|event| event.code.as_str()).collect();
    codes.sort_unstable();
    let expected =
        ["gateway.contract", "gateway.event_form", "gateway.event_too_large", "gateway.id_missing", "gateway.too_deep"];
    assert_eq!(codes, expected);
    let contract = rejected.iter().find(|event| event.code == "gateway.contract").unwrap();
    assert_eq!(contract.contract_version, 1);
    assert_eq!(contract.sent.as_ref().unwrap().event.get(), batch["batch"][2].to_string());
    assert!(contract.reason.starts_with("/properties/quantity"), "{}", contract.reason);
}

#[tokio::test]
async fn the_quarantine_keeps_every_byte_and_all_that_a_replay_needs() {
    let house = House::open().await;
    // As floating-point numbers these would take nearly four times the bytes, more than a record of the bus may have.
    let numbers = format!(r#"{{"type":"track","anonymousId":"a","properties":{{"n":[{}1]}}}}"#, "1e15,".repeat(95_000));
    let doubled = r#"{"type":"track",  "anonymousId":"a","event":"","event":"\ud800"}"#;
    let context = r#"{"locale":"de","locale":"en"}"#;
    let body = format!(r#"{{"context":{context},"batch":[{numbers},{doubled}],"sentAt":"2026-03-01T11:00:00Z"}}"#);
    let (status, answer) = read(house.post("batch").body(body).send().await.unwrap()).await;
    assert_eq!((status, &answer["rejected"]), (StatusCode::OK, &json!(2)), "{answer}");
    let rejected = house.rejected().await;
    for (code, event) in [("gateway.event_too_large", numbers.as_str()), ("gateway.event_form", doubled)] {
        let entry = rejected.iter().find(|entry| entry.code == code).unwrap();
        let sent = entry.sent.as_ref().unwrap();
        assert!(sent.event.get() == event, "{code}");
        assert_eq!((sent.cut, sent.call.as_str()), (false, "batch"));
        assert_eq!(sent.sent_at, Some(json!("2026-03-01T11:00:00Z")));
        assert_eq!(sent.context.as_ref().unwrap().get(), context);
    }
    let single = r#"{"event":"","userId":"u"}"#;
    house.post("t").body(single).send().await.unwrap();
    let rejected = house.rejected().await;
    let entry = rejected.iter().find(|entry| entry.code == "gateway.event_name").unwrap();
    let sent = entry.sent.as_ref().unwrap();
    assert_eq!((sent.call.as_str(), sent.event.get()), ("track", single), "it does not say its type itself");
}

#[tokio::test]
async fn what_fits_no_record_is_kept_cut() {
    let limit = 4 << 20;
    let house = House::open_with(Config { batch_bytes_max: limit, event_bytes_max: limit, ..Config::default() }).await;
    let wide = json!({"type": "page", "userId": "u", "properties": {"note": "ä\"".repeat(400_000)}});
    let broken = format!(r#"{{"type":"nothing","note":{}}}"#, json!("ä\"".repeat(400_000)));
    let body = format!(r#"{{"batch":[{wide},{broken},{}]}}"#, view("a", "good"));
    let (status, answer) = read(house.post("batch").body(body).send().await.unwrap()).await;
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (StatusCode::OK, &json!(1), &json!(2)), "{answer}");
    for entry in house.rejected().await {
        let sent = entry.sent.unwrap();
        let beginning: String = serde_json::from_str(sent.event.get()).unwrap();
        assert!(sent.cut && beginning.starts_with(r#"{"type":""#) && beginning.len() > 200_000, "{}", entry.code);
    }
}

#[tokio::test]
async fn the_quarantine_is_read_newest_first_page_by_page() {
    let house = House::open().await;
    for n in 0..7 {
        let body = json!({"batch": [{"type": "track", "anonymousId": format!("a-{n}"), "event": "", "n": n}]});
        house.send("batch", &body).await;
    }
    let bus = house.bus.as_ref();
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = quarantine::list(bus, 3, cursor.as_deref()).await.unwrap();
        assert!(page.entries.len() <= 3 && page.entries.iter().all(|entry| entry.sent.is_none()));
        ids.extend(page.entries.into_iter().map(|entry| entry.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (7, 7));
    let entry = quarantine::show(bus, &ids[0]).await.unwrap().unwrap();
    assert_eq!((entry.code.as_str(), entry.source.as_str()), ("gateway.event_name", "web shop"));
    assert!(entry.sent.unwrap().event.get().contains(r#""n":"#));
    assert!(quarantine::show(bus, "0.999").await.unwrap().is_none());
    assert!(quarantine::show(bus, "99.0").await.unwrap().is_none());
    for id in ["", "1", "x.1", "-1.0", "0.-1"] {
        assert!(quarantine::show(bus, id).await.is_err(), "{id}");
        assert!(quarantine::list(bus, 3, Some(id)).await.is_err(), "{id}");
    }
    let ends = house.bus.as_ref();
    assert_eq!(bus::Bus::watermarks(ends, &TopicPartition::new(topic::REJECTED, 0)).await.unwrap().low, 0);
}

#[tokio::test]
async fn other_schemes_and_broken_credentials_are_no_keys() {
    let house = House::open().await;
    for value in [
        "Basic",
        "Basic !!!",
        "Basic d3Jvbmc6",
        "Bearer x",
        &format!("Basic {}", "A".repeat(5_000)),
        &format!("Bearer {KEY}"),
    ] {
        let request = house.http.post(format!("{}/v1/t", house.url)).header("authorization", value);
        let (status, problem) = read(request.body(r#"{"event":"A","userId":"u"}"#).send().await.unwrap()).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("gateway.write_key")), "{value}");
    }
    nothing_was_written(&house).await;
}
