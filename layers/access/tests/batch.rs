//! Batches: streamed both ways, each line by itself.

use crate::house::{House, order, problem};
use engine_postgres::{Cluster, Version};
use futures_util::StreamExt;
use reqwest::{Body, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const LINES: &str = "application/x-ndjson";

async fn send(house: &House, body: impl Into<Body>) -> Response {
    house.post("/api/v1/batch").header("Content-Type", LINES).body(body).send().await.unwrap()
}

async fn lines(answer: Response) -> Vec<Value> {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], LINES);
    answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn line(noun: &str, body: &Value) -> String {
    json!({"type": noun, "body": body}).to_string() + "\n"
}

fn store(number: usize) -> String {
    line("store", &json!({"store_code": number.to_string(), "name": "S"}))
}

/// Fourteen lines, one of them empty; the first is not UTF-8 and the last has no line feed.
fn good_and_bad_lines() -> Vec<u8> {
    let long =
        format!("{{\"type\":\"store\",\"body\":{{\"store_code\":\"x\",\"name\":\"{}\"}}}}\n", "x".repeat(2 << 20));
    let mut bad = order("o2");
    bad["lines"][0]["quantity"] = json!("-2");
    let parts = [
        line("store", &json!({"store_code": "367", "name": "Main Street"})),
        line("product", &json!({"product_code": "p1", "title": "Coffee"})),
        line("sku", &json!({"sku_code": "s1", "product_code": "p1"})),
        line("member", &json!({"member_no": "m1"})),
        "{\"type\":\"store\",\n".to_owned(),
        "\n".to_owned(),
        line("order", &order("o1")),
        line("order", &bad),
        line("rocket", &json!({})),
        long,
        json!({"type": "store", "body": {}, "idempotency_key": ""}).to_string() + "\n",
        json!({"type": "store", "body": {}, "extra": 1}).to_string() + "\n",
        line("order", &order("o3")).trim_end().to_owned(),
    ];
    let mut body = parts.concat().into_bytes();
    body.splice(0..0, b"\xff\n".iter().copied());
    body
}

crate::on_both!(
    bad_lines_in_the_middle_harm_no_other,
    many_chunks_keep_their_order_and_repeats_are_harmless,
    a_batch_with_a_key_gets_its_first_answers_again,
    answers_come_while_lines_are_sent,
    a_silent_sender_is_told_and_let_go,
    a_batch_is_checked_before_it_is_read,
    a_store_that_is_away_stops_a_batch_and_says_so,
);

async fn bad_lines_in_the_middle_harm_no_other(version: Version) {
    let house = House::open(version).await;
    let body = good_and_bad_lines();
    let answers = lines(send(&house, body).await).await;
    let (summary, results) = answers.split_last().unwrap();
    let short: Vec<_> = results
        .iter()
        .map(|line| {
            (
                line["line"].as_u64().unwrap(),
                line["status"].as_u64().unwrap(),
                line["problem"]["pointer"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let expected = [
        (1, 400, ""),
        (2, 201, ""),
        (3, 201, ""),
        (4, 201, ""),
        (5, 201, ""),
        (6, 400, ""),
        (8, 201, ""),
        (9, 422, "/body/lines/0/quantity"),
        (10, 422, "/type"),
        (11, 413, ""),
        (12, 422, "/idempotency_key"),
        (13, 422, "/extra"),
        (14, 201, ""),
    ];
    assert_eq!(short, expected);
    assert_eq!((&summary["lines"], &summary["failed"]), (&json!(13), &json!(7)));
    assert!(summary["position"].as_str().unwrap().starts_with("w-"));
}

async fn many_chunks_keep_their_order_and_repeats_are_harmless(version: Version) {
    let house = House::open(version).await;
    let body: String = (0..1300).map(store).collect();
    for (status, effect) in [(201, "created"), (200, "unchanged")] {
        let answers = lines(send(&house, body.clone()).await).await;
        assert_eq!(answers.len(), 1301);
        for (index, line) in answers[..1300].iter().enumerate() {
            assert_eq!(
                (&line["line"], &line["status"], &line["effect"]),
                (&json!(index + 1), &json!(status), &json!(effect))
            );
        }
        assert_eq!((&answers[1300]["lines"], &answers[1300]["failed"]), (&json!(1300), &json!(0)));
    }
    let quiet =
        house.post("/api/v1/batch?results=failed").header("Content-Type", LINES).body(body).send().await.unwrap();
    assert_eq!(lines(quiet).await.len(), 1);
}

async fn a_batch_with_a_key_gets_its_first_answers_again(version: Version) {
    let house = House::open(version).await;
    let body: String = (0..3).map(store).collect();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = house.post("/api/v1/batch").header("Content-Type", LINES).header("Idempotency-Key", "night-1");
        answers.push(lines(request.body(body.clone()).send().await.unwrap()).await);
    }
    for (first, again) in answers[0][..3].iter().zip(&answers[1][..3]) {
        assert_eq!((&first["status"], &first["id"], &first["repeated"]), (&json!(201), &again["id"], &json!(false)));
        assert_eq!((&again["status"], &again["repeated"]), (&json!(201), &json!(true)));
    }
}

/// A body that is sent piece by piece.
fn piecewise() -> (mpsc::Sender<std::io::Result<String>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (sender, Body::wrap_stream(pieces))
}

async fn answers_come_while_lines_are_sent(version: Version) {
    let house = House::with(version, access::Config { batches_max: 1, ..access::Config::default() }).await;
    let (sender, body) = piecewise();
    let mut answers = send(&house, body).await.bytes_stream();
    for number in 0..3 {
        let whole = store(number);
        let (first, second) = whole.split_at(9);
        sender.send(Ok(first.to_owned())).await.unwrap();
        sender.send(Ok(second.to_owned())).await.unwrap();
        let line: Value = serde_json::from_slice(&answers.next().await.unwrap().unwrap()).unwrap();
        assert_eq!((&line["line"], &line["status"]), (&json!(number + 1), &json!(201)));
    }
    // What was answered stays when the sender goes away in the middle of a line.
    sender.send(Ok("{\"type\":\"store\",\"body\":{\"store_code\":\"9\",\"name\":\"half".to_owned())).await.unwrap();
    sender.send(Err(std::io::Error::other("gone"))).await.unwrap();
    drop((answers, sender));
    // Its batch is over when there is room for the next.
    let deadline = Instant::now() + Duration::from_secs(30);
    while send(&house, "").await.status() != 200 {
        assert!(Instant::now() < deadline, "the batch does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listed: Value = house.get("/api/v1/stores", &house.reader).await.json().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
}

async fn a_silent_sender_is_told_and_let_go(version: Version) {
    // The limit holds for the first line, too: it must be long enough for a busy machine.
    let config = access::Config { batch_idle_ms_max: 2_000, batches_max: 1, ..access::Config::default() };
    let house = House::with(version, config).await;
    let first = futures_util::stream::once(async { Ok::<_, std::io::Error>(store(1)) });
    let silent = Body::wrap_stream(first.chain(futures_util::stream::pending()));
    let answers = lines(send(&house, silent).await).await;
    assert_eq!((&answers[0]["line"], &answers[1]["lines"]), (&json!(1), &json!(1)));
    assert_eq!(answers[1]["problem"]["code"], "access.body_timeout");
    assert_eq!(lines(send(&house, store(2)).await).await.len(), 2, "there is room again");
}

async fn a_batch_is_checked_before_it_is_read(version: Version) {
    let house = House::with(version, access::Config { batches_max: 1, ..access::Config::default() }).await;
    let wrong = house.post("/api/v1/batch").json(&json!({})).send().await.unwrap();
    assert_eq!(problem(wrong).await.1, "access.unsupported_media_type");
    let query = house.post("/api/v1/batch?results=none").header("Content-Type", LINES).send().await.unwrap();
    assert_eq!(problem(query).await.1, "access.invalid_query");
    let reader = house
        .client
        .post(house.url("/api/v1/batch"))
        .bearer_auth(&house.reader)
        .header("Content-Type", LINES)
        .send()
        .await
        .unwrap();
    assert_eq!(problem(reader).await.1, "access.forbidden");
    let empty = lines(send(&house, "").await).await;
    assert_eq!(empty, [json!({"position": null, "lines": 0, "failed": 0})]);
    let held =
        send(&house, Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>())).await;
    assert_eq!(problem(send(&house, "").await).await.1, "access.busy");
    drop(held);
}

async fn a_store_that_is_away_stops_a_batch_and_says_so(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    cluster.create_database("away").await.unwrap();
    let mut pg = cluster.config();
    pg.dbname("away");
    let store = oltp::Config { retries_max: 0, pool_size: 2, ..oltp::Config::default() };
    let house = House::on(pg, store, access::Config { chunk_lines_max: 2, ..access::Config::default() }).await;
    let (sender, body) = piecewise();
    let mut answers = send(&house, body).await.bytes_stream();
    sender.send(Ok(store_lines(1))).await.unwrap();
    let first = answers.next().await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap()["status"], 201);
    cluster.stop().await;
    sender.send(Ok(store_lines(500))).await.unwrap();
    let mut rest = Vec::new();
    while let Some(piece) = answers.next().await {
        rest.extend(piece.unwrap());
    }
    let answers: Vec<Value> =
        rest.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let (summary, results) = answers.split_last().unwrap();
    assert!(results.len() < 500 && results.iter().all(|line| line["status"] == 503), "{}", results.len());
    assert_eq!((&summary["lines"], &summary["problem"]["retry"]), (&json!(results.len() + 1), &json!(true)));
    let single = house.post("/api/v1/stores").json(&json!({"store_code": "1", "name": "S"})).send().await.unwrap();
    assert_eq!(single.headers()["retry-after"], "1");
    // As long as the key is still known, it is the store that is away.
    let (status, code, _) = problem(single).await;
    assert!(status == 503 && ["oltp.unavailable", "access.keys_unavailable"].contains(&code.as_str()), "{code}");
}

fn store_lines(count: usize) -> String {
    (0..count).map(store).collect()
}
