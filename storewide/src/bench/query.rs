//! Questions to the serving layer: one customer by id over HTTP, and SQL over many beside the same SQL inside the engine.

use super::figure::{Figure, percentile};
use super::load::{Scratch, house};
use crate::client::Client;
use crate::import::{Journey, JourneyOptions, Loader};
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::Value;
use serving::Limits;
use serving::freshness::await_token;
use std::path::Path;
use std::time::{Duration, Instant};

const DASHBOARD: &str = "select s.store_code, strftime(o.placed_at, '%Y-%m') as month, count(distinct o.order_id) as orders,
    sum(l.net_minor) as net_minor
    from order_lines l join orders o on o.order_id = l.order_id join stores s on s.store_id = o.store_id group by 1, 2 order by 1, 2";

/// Longest time that the bench waits for the data to be served.
const SERVED_MAX: Duration = Duration::from_secs(3_600);

pub async fn run(time: Duration, folder: &Path) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("query")?;
    let (house, client, data) = house(&scratch).await?;
    let journey = Journey::open(folder, JourneyOptions::default())?;
    let loaded = Loader::open(client.clone(), &data, &journey, true).await?.load(&journey).await?;
    await_token(house.bus().as_ref(), &house.serving().analytics_progress, &loaded.position.parse()?, SERVED_MAX)
        .await?;
    let members: Vec<Value> =
        client.sql("select member_no from members", None, 10_000).await?.rows.into_iter().flatten().collect();
    ensure!(!members.is_empty(), "nobody to ask for");
    let mut customer = customers(&client, &members, time).await?;
    let limits = Limits::new(&house.serving().config, Some(10_000), None);
    let mut inside = Vec::new();
    let mut door = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let begin = Instant::now();
        house.serving().analytics.query(DASHBOARD, Vec::new(), limits).await?;
        inside.push(begin.elapsed());
        let begin = Instant::now();
        client.sql(DASHBOARD, None, 10_000).await?;
        door.push(begin.elapsed());
    }
    house.stop().await;
    let (p50, p99) = (percentile(&mut customer, 0.5), percentile(&mut customer, 0.99));
    let sql = (percentile(&mut door, 0.5), percentile(&mut door, 0.99));
    let reference = percentile(&mut inside, 0.5);
    Ok(vec![
        Figure::new("customer_360", p99, "ms p99").spread(p50, p99),
        Figure::new("query", sql.0, "ms p50").beside(reference).spread(sql.0, sql.1),
    ])
}

async fn customers(client: &Client, members: &[Value], time: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let mut times = Vec::new();
    for member in members.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let path = format!("/api/v1/customers/{}", member.as_str().unwrap_or_default());
        let begin = Instant::now();
        client.send(client.request(Method::GET, &path)).await?;
        times.push(begin.elapsed());
    }
    Ok(times)
}
