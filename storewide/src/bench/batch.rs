//! Orders through `/api/v1/batch` of a whole house, from several senders.

use super::figure::Figure;
use super::load::{Scratch, house};
use super::shop::MEMBERS;
use crate::client::Client;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SENDERS: usize = 4;
/// Lines of an order.
const LINES: usize = 10;
/// Orders of one request.
const ORDERS: usize = 5_000;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("batch")?;
    let (house, client, _) = house(&scratch).await?;
    let mut lines = vec![line("store", &json!({"store_code": "bench", "name": "Bench"}))];
    for number in 1..=LINES {
        lines.push(line("product", &json!({"product_code": format!("bench-{number}"), "title": "Bench"})));
        lines.push(line(
            "sku",
            &json!({"sku_code": format!("bench-{number}"), "product_code": format!("bench-{number}")}),
        ));
    }
    lines.extend((1..=MEMBERS).map(|number| line("member", &json!({"member_no": format!("bench-{number}")}))));
    ensure!(send(&client, lines.concat()).await? == 0, "a record was refused");
    let begin = Instant::now();
    let senders = (0..SENDERS).map(|sender| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut sent = 0;
            while begin.elapsed() < time {
                let orders: String = (0..ORDERS).map(|n| line("order", &order(sender, sent + n))).collect();
                ensure!(send(&client, orders).await? == 0, "an order was refused");
                sent += ORDERS;
            }
            Ok(sent)
        })
    });
    let mut orders = 0;
    for sender in senders.collect::<Vec<_>>() {
        orders += sender.await.context("a sender failed")??;
    }
    let rate = (orders * LINES) as f64 / begin.elapsed().as_secs_f64();
    house.stop().await;
    Ok(vec![Figure::new("batch", rate, "order lines/s through /api/v1/batch")])
}

/// Sends lines; gives how many of them failed.
async fn send(client: &Client, lines: String) -> Result<u64> {
    let request = client.request(Method::POST, "/api/v1/batch?results=failed");
    let answer =
        client.response(request.header("content-type", "application/x-ndjson").body(lines)).await?.text().await?;
    let summary: Value = serde_json::from_str(answer.lines().last().context("an empty answer")?)?;
    summary["failed"].as_u64().context("the answer was cut off")
}

fn line(noun: &str, body: &Value) -> String {
    format!("{}\n", json!({"type": noun, "body": body}))
}

fn order(sender: usize, number: usize) -> Value {
    let lines: Vec<Value> = (1..=LINES)
        .map(|line| json!({"line_no": line, "sku_code": format!("bench-{line}"), "quantity": "1", "unit_price_minor": 250}))
        .collect();
    json!({"source": "bench", "order_no": format!("{sender}-{number}"), "channel": "pos", "store_code": "bench",
        "member_no": format!("bench-{}", number % MEMBERS + 1), "placed_at": "2026-01-31T12:00:00Z", "currency": "USD", "lines": lines,
        "payments": [{"payment_no": 1, "tender_type": "card", "amount_minor": 250 * LINES}]})
}
