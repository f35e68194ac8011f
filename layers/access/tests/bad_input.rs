//! Whatever comes in, a clear problem goes out: never a 500, never a partial write.

use crate::house::{House, order, problem};
use engine_postgres::Version;
use reqwest::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends a body and gives status, code and pointer of the problem.
async fn refused(house: &House, path: &str, body: impl Into<Body>) -> (u16, String, String) {
    let request = house.post(path).header("Content-Type", "application/json").body(body);
    problem(request.send().await.unwrap()).await
}

/// The order with one thing changed.
fn changed(pointer: &str, value: Value) -> String {
    let mut order = order("bad");
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = order.pointer_mut(parent).unwrap();
    match field.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[field] = value,
    }
    order.to_string()
}

crate::on_both!(
    what_is_no_json_is_refused,
    what_cannot_be_true_is_refused_and_nothing_is_written,
    headers_and_keys_are_checked,
    a_huge_body_is_refused_before_it_is_sent,
    whoever_sends_a_huge_body_still_reads_the_answer,
    a_body_that_never_ends_is_given_up,
    too_many_at_a_time_are_sent_away,
);

async fn what_is_no_json_is_refused(version: Version) {
    let house = House::open(version).await;
    let deep =
        format!(r#"{{"store_code":"1","name":"x","attributes":{{"a":{}{}}}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let cases: [(&[u8], &str); 6] = [
        (b"", "access.invalid_json"),
        (br#"{"store_code":"#, "access.invalid_json"),
        (b"store_code=1", "access.invalid_json"),
        (br#"{"store_code":"1","name":"x"} {}"#, "access.invalid_json"),
        (deep.as_bytes(), "access.invalid_json"),
        (b"{\"store_code\":\"\xff\xfe\",\"name\":\"x\"}", "access.invalid_utf8"),
    ];
    for (body, expected) in cases {
        let (status, code, _) = refused(&house, "/api/v1/stores", body.to_vec()).await;
        assert_eq!(
            (status, code.as_str()),
            (400, expected),
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(60)])
        );
    }
}

async fn what_cannot_be_true_is_refused_and_nothing_is_written(version: Version) {
    let house = House::open(version).await;
    house.furnish().await;
    let day_after_tomorrow = "2999-01-01T00:00:00Z";
    let cases = [
        ("/lines/0/quantity", json!("-1"), "/lines/0/quantity"),
        ("/lines/1/quantity", json!("one"), "/lines/1/quantity"),
        ("/lines/1/quantity", json!("1e400"), "/lines/1/quantity"),
        ("/lines/1/sku_code", json!("no-such-sku"), "/lines/1/sku_code"),
        ("/lines/1/line_no", json!(1), "/lines/1/line_no"),
        ("/lines/0/unit_price_minor", json!(i64::MAX), "/lines/0/"),
        ("/lines/0/colour", json!("red"), "/lines/0/colour"),
        ("/lines", json!([]), "/lines"),
        ("/lines", json!("many"), "/lines"),
        ("/placed_at", json!(day_after_tomorrow), "/placed_at"),
        ("/placed_at", json!("yesterday"), "/placed_at"),
        ("/store_code", json!("no-such-store"), "/store_code"),
        ("/member_no", json!("no-such-member"), "/member_no"),
        ("/currency", json!("dollars"), "/currency"),
        ("/channel", json!("pigeon"), "/channel"),
        ("/order_no", json!("nul\u{0}here"), "/order_no"),
        ("/order_no", json!("x".repeat(100_000)), "/order_no"),
        ("/order_no", json!(null), "/order_no"),
    ];
    for (pointer, value, place) in cases {
        let shown = format!("{pointer} = {}", value.to_string().chars().take(30).collect::<String>());
        let (status, code, at) = refused(&house, "/api/v1/orders", changed(pointer, value)).await;
        assert_eq!(status, 422, "{shown}: {code}");
        assert!(at.starts_with(place), "{shown}: {code} at {at}");
    }
    let listed: Value = house.get("/api/v1/orders", &house.reader).await.json().await.unwrap();
    assert_eq!(listed["items"], json!([]));
}

async fn headers_and_keys_are_checked(version: Version) {
    let house = House::open(version).await;
    let store = json!({"store_code": "1", "name": "x"});
    let plain = house.post("/api/v1/stores").body(store.to_string()).send().await.unwrap();
    assert_eq!(problem(plain).await.1, "access.unsupported_media_type");
    let packed = house.post("/api/v1/stores").header("Content-Encoding", "gzip").json(&store).send().await.unwrap();
    assert_eq!(problem(packed).await.1, "access.unsupported_encoding");
    for (header, value) in [
        ("Idempotency-Key", "k".repeat(256)),
        ("Idempotency-Key", "two words".to_owned()),
        ("X-Reason", "r".repeat(513)),
    ] {
        let answer = house.post("/api/v1/stores").header(header, value).json(&store).send().await.unwrap();
        assert_eq!(problem(answer).await.1, "access.invalid_header", "{header}");
    }
    for key in ["", "swk_0000", "\u{7f}", &"k".repeat(5000)] {
        let request = house.client.post(house.url("/api/v1/stores")).json(&store);
        let request = if key.is_empty() {
            request
        } else {
            request.header("Authorization", format!("Bearer {key}").into_bytes())
        };
        // A control character is refused by the client or by the server.
        let Ok(answer) = request.send().await else { continue };
        assert_eq!(answer.status().as_u16(), 401, "{key:.8}");
    }
    let nothing = house.get("/api/v1/unknown", &house.reader).await;
    assert_eq!(problem(nothing).await.1, "http.not_found");
    let method = house.client.delete(house.url("/api/v1/stores")).bearer_auth(&house.writer).send().await.unwrap();
    assert_eq!(problem(method).await.1, "http.method_not_allowed");
}

async fn a_huge_body_is_refused_before_it_is_sent(version: Version) {
    let house = House::open(version).await;
    let mut socket = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/stores HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{{",
        house.writer
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

async fn whoever_sends_a_huge_body_still_reads_the_answer(version: Version) {
    let house = House::open(version).await;
    let whole = house.post("/api/v1/stores").header("Content-Type", "application/json").body(vec![b' '; 100 << 20]);
    assert_eq!(problem(whole.send().await.unwrap()).await.1, "access.body_too_large");
    // Of unknown length: refused as soon as it is too much.
    let pieces = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let request =
        house.post("/api/v1/stores").header("Content-Type", "application/json").body(Body::wrap_stream(pieces));
    assert_eq!(problem(request.send().await.unwrap()).await.1, "access.body_too_large");
}

async fn a_body_that_never_ends_is_given_up(version: Version) {
    let house = House::with(version, access::Config { body_ms_max: 50, ..access::Config::default() }).await;
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request =
        house.post("/api/v1/stores").header("Content-Type", "application/json").body(Body::wrap_stream(never));
    assert_eq!(problem(request.send().await.unwrap()).await, (408, "access.body_timeout".to_owned(), String::new()));
}

async fn too_many_at_a_time_are_sent_away(version: Version) {
    let house = House::with(version, access::Config { requests_max: 1, ..access::Config::default() }).await;
    let body = br#"{"store_code":"1","name":"x"}"#;
    let mut slow = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/stores HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        house.writer,
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Whoever is asked to go on is inside.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let away = house.get("/api/v1/stores", &house.reader).await;
    assert_eq!(away.headers()["retry-after"], "1");
    assert_eq!(problem(away).await, (503, "access.busy".to_owned(), String::new()));
    slow.write_all(body).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
}
