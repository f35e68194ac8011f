//! Figures, on demand: `cargo test -p gateway --release -- --ignored --nocapture speed`.

use crate::house::{House, NOW, tokeniser};
use contract::events::Registry;
use gateway::{Call, Canonicaliser, Config, Receipt, Sent};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// A view as the browser SDK sends it, about 900 bytes.
fn event(n: usize) -> Value {
    json!({"type": "track", "event": "Product Viewed", "anonymousId": format!("5c1f0a6e-{n:012}"), "userId": null,
        "messageId": format!("ajs-next-1772366399000-{n}"), "timestamp": "2026-03-01T11:59:59.123Z",
        "context": {"ip": "203.0.113.77", "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15",
            "locale": "en-GB", "library": {"name": "analytics.js", "version": "next-1.84.3"}, "timezone": "Europe/Berlin",
            "page": {"path": "/p/mug", "referrer": "https://www.example.com/", "search": "?utm_source=x&utm_medium=cpc",
                "title": "Mug", "url": "https://shop.example/p/mug?utm_source=x&utm_medium=cpc"}},
        "properties": {"product_id": "507f1f77bcf86cd799439011", "sku": "G-32", "category": "Games", "name": "Monopoly",
            "brand": "Hasbro", "variant": "200 pieces", "price": 18.99, "quantity": 1, "coupon": "MAYDEALS", "currency": "EUR",
            "position": 3, "value": 18.99, "url": "https://shop.example/p/mug", "image_url": "https://shop.example/p/mug.jpg"}})
}

fn batch(from: usize, events: usize) -> String {
    let events: Vec<Value> = (from..from + events).map(event).collect();
    json!({"batch": events, "sentAt": NOW}).to_string()
}

#[test]
#[ignore = "a measurement"]
fn canonicalise_and_validate_on_one_core() {
    let config = Config::default();
    let canonicaliser = Canonicaliser::new(config.clone(), tokeniser(), Arc::new(Registry::embedded()));
    let body = batch(0, 100);
    let started = Instant::now();
    let mut bytes = 0;
    for _ in 0..500 {
        let sent = Sent::read(Call::Batch, body.as_bytes(), &config).unwrap();
        let receipt = Receipt {
            call: Call::Batch,
            sent_at: sent.sent_at.as_ref(),
            context: None,
            received: NOW.parse().unwrap(),
            source: "web",
            new_id: String::new,
        };
        for raw in &sent.events {
            let event = canonicaliser.event(raw.get(), &receipt).unwrap();
            bytes += serde_json::to_vec(&event).unwrap().len();
        }
    }
    let rate = 50_000.0 / started.elapsed().as_secs_f64();
    println!(
        "canonicalise, validate, serialise: {rate:.0} events/s on one core; {} bytes out an event",
        bytes / 50_000
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn durable_accepts_over_http() {
    let house = Arc::new(House::open().await);
    let bodies: Arc<Vec<String>> = Arc::new((0..64).map(|n| batch(n * 100, 100)).collect());
    let started = Instant::now();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (house, bodies) = (Arc::clone(&house), Arc::clone(&bodies));
            tokio::spawn(async move {
                for n in 0..100 {
                    let body = bodies[(sender * 8 + n) % 64].clone();
                    assert!(house.post("batch").body(body).send().await.unwrap().status().is_success());
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let rate = 80_000.0 / started.elapsed().as_secs_f64();
    println!("durable accepts over HTTP, batches of 100, 8 senders in the same process: {rate:.0} events/s");
}
