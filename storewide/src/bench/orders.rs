//! Orders of three lines, a payment, points and stock at eight connections, beside the bare SQL function under pgbench.

use super::figure::{Figure, percentile};
use super::shop::{MEMBERS, SKUS, Shop};
use anyhow::{Context as _, Result, ensure};
use model::Decimal;
use oltp::command::{OrderLineValue, PaymentValue, PutOrder};
use oltp::{Command, Context, Oltp};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let shop = Shop::furnished("orders").await?;
    let (orders, mut times) = load(&shop.oltp, time).await?;
    let figure = orders as f64 / time.as_secs_f64();
    let reference = pgbench(&shop, time).await?;
    shop.close().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![Figure::new("orders", figure, "orders/s").beside(reference).spread(p50, p99)])
}

async fn load(oltp: &Oltp, time: Duration) -> Result<(usize, Vec<Duration>)> {
    let end = Instant::now() + time;
    let connections = (0..CONNECTIONS).map(|connection| {
        let oltp = oltp.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let command = Command::Order(order(connection, times.len()));
                let context = Context {
                    actor: "bench".to_owned(),
                    request_id: format!("{connection}-{}", times.len()),
                    ..Context::default()
                };
                let begin = Instant::now();
                oltp.run(&context, &command).await?;
                times.push(begin.elapsed());
            }
            anyhow::Ok(times)
        })
    });
    let mut times = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        times.extend(connection.await.context("a connection failed")??);
    }
    Ok((times.len(), times))
}

fn order(connection: usize, number: usize) -> PutOrder {
    let line = |line_no: i32| OrderLineValue {
        line_no,
        // Three of many: a shop does not sell the same three to everybody at once.
        sku_code: format!("bench-{}", (connection * 37 + number) % (SKUS / 3) * 3 + line_no as usize),
        quantity: Decimal::ONE,
        unit_price_minor: Some(250),
        ..OrderLineValue::default()
    };
    let payment =
        PaymentValue { payment_no: 1, tender_type: "card".to_owned(), amount_minor: 750, ..PaymentValue::default() };
    PutOrder {
        source: "bench".to_owned(),
        order_no: format!("{connection}-{number}"),
        channel: "pos".to_owned(),
        store_code: Some("bench".to_owned()),
        member_no: Some(format!("bench-{}", (connection * 131 + number) % MEMBERS + 1)),
        placed_at: jiff::Timestamp::now(),
        currency: "USD".to_owned(),
        lines: (1..=3).map(line).collect(),
        payments: vec![payment],
        ..PutOrder::default()
    }
}

async fn pgbench(shop: &Shop, time: Duration) -> Result<f64> {
    let script = shop.scratch.path().join("order.sql");
    std::fs::write(&script, oltp::bench::PGBENCH_ORDER)?;
    let connections = CONNECTIONS.to_string();
    let output = tokio::process::Command::new(shop.cluster.installation().program("pgbench"))
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--client",
            &connections,
            "--jobs=2",
            "--time",
            &time.as_secs().to_string(),
            "--file",
        ])
        .arg(&script)
        .arg(shop.url())
        .output()
        .await
        .context("pgbench does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps = ")).context("pgbench said no tps")?;
    Ok(line.trim_start_matches("tps = ").split_whitespace().next().context("pgbench said no tps")?.parse()?)
}
