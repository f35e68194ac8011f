//! Orders of three lines, a payment and points at eight connections, beside the bare SQL function under pgbench.

use super::figure::{Figure, percentile};
use super::load::Scratch;
use anyhow::{Context as _, Result, ensure};
use engine_postgres::{Cluster, Settings};
use model::{Decimal, Layer, Tokeniser};
use oltp::command::{OrderLineValue, PaymentValue, PutMember, PutOrder, PutProduct, PutSku, PutStore};
use oltp::{Command, Context, Oltp};
use runtime::Telemetry;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;
const MEMBERS: usize = 1_000;
const DATABASE: &str = "bench";

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("orders")?;
    let cluster = Cluster::start(Settings::new(scratch.path().join("postgres"))).await?;
    cluster.create_database(DATABASE).await?;
    let mut config = cluster.config();
    config.dbname(DATABASE);
    let meter = Telemetry::default().meter(Layer::Oltp);
    let oltp = Oltp::new(&oltp::Config::default(), config, Tokeniser::new(b"bench"), meter)?;
    oltp.migrate().await?;
    stock(&oltp).await?;
    let (orders, mut times) = load(&oltp, time).await?;
    let figure = orders as f64 / time.as_secs_f64();
    let reference = pgbench(&cluster, &scratch, time).await?;
    cluster.stop().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![Figure::new("orders", figure, "orders/s").beside(reference).spread(p50, p99)])
}

async fn stock(oltp: &Oltp) -> Result<()> {
    let code = |number: usize| format!("bench-{number}");
    let mut commands = vec![Command::Store(PutStore {
        store_code: "bench".to_owned(),
        name: "Bench".to_owned(),
        ..PutStore::default()
    })];
    for number in 1..=3 {
        commands.push(Command::Product(PutProduct {
            product_code: code(number),
            title: "Bench".to_owned(),
            ..PutProduct::default()
        }));
        commands.push(Command::Sku(PutSku { sku_code: code(number), product_code: code(number), ..PutSku::default() }));
    }
    for number in 1..=MEMBERS {
        commands.push(Command::Member(PutMember { member_no: code(number), ..PutMember::default() }));
    }
    let context = Context { actor: "bench".to_owned(), ..Context::default() };
    let items = commands.into_iter().map(|command| (context.clone(), command)).collect();
    for done in oltp.run_batch(items).await?.0 {
        done?;
    }
    Ok(())
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
        sku_code: format!("bench-{line_no}"),
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

async fn pgbench(cluster: &Cluster, scratch: &Scratch, time: Duration) -> Result<f64> {
    let script = scratch.path().join("order.sql");
    std::fs::write(&script, oltp::bench::PGBENCH_ORDER)?;
    let connections = CONNECTIONS.to_string();
    let output = tokio::process::Command::new(cluster.installation().program("pgbench"))
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
        .arg(cluster.url(DATABASE))
        .output()
        .await
        .context("pgbench does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps = ")).context("pgbench said no tps")?;
    Ok(line.trim_start_matches("tps = ").split_whitespace().next().context("pgbench said no tps")?.parse()?)
}
