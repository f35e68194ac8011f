//! Orders of three lines, a payment, points and stock at eight connections, beside the bare SQL function under pgbench.

use super::figure::{Figure, percentile};
use super::shop::{MEMBERS, SKUS, Shop, WARM};
use anyhow::{Context as _, Result, ensure};
use model::Decimal;
use oltp::command::{OrderLineValue, PaymentValue, PutOrder};
use oltp::{Command, Context, Oltp};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;
/// As many tills as a chain has, for how much the store does when more ask.
const MANY: usize = 64;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let shop = Shop::furnished("orders").await?;
    let many = load(&shop.oltp, time, MANY).await?;
    let some = load(&shop.oltp, time, CONNECTIONS).await?;
    let reference = pgbench(&shop, time).await?;
    shop.close().await;
    let figure = |name, mut times: Vec<Duration>| {
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        Figure::new(name, times.len() as f64 / time.as_secs_f64(), "orders/s").beside(reference).spread(p50, p99)
    };
    Ok(vec![figure("orders_of_64_tills", many), figure("orders", some)])
}

/// Orders from so many callers, each of which waits for its answer; what the first seconds took is left out.
async fn load(oltp: &Oltp, time: Duration, callers: usize) -> Result<Vec<Duration>> {
    let start = Instant::now() + Duration::from_secs(WARM);
    let connections = (0..callers).map(|connection| {
        let oltp = oltp.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for number in 0.. {
                let command = Command::Order(order(callers, connection, number));
                let context = Context {
                    actor: "bench".to_owned(),
                    request_id: format!("{connection}-{number}"),
                    ..Context::default()
                };
                let begin = Instant::now();
                oltp.run(&context, &command).await?;
                if start + time <= Instant::now() {
                    break;
                }
                if start <= begin {
                    times.push(begin.elapsed());
                }
            }
            anyhow::Ok(times)
        })
    });
    let mut times = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        times.extend(connection.await.context("a connection failed")??);
    }
    Ok(times)
}

fn order(callers: usize, connection: usize, number: usize) -> PutOrder {
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
        order_no: format!("{callers}-{connection}-{number}"),
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
