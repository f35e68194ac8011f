//! Points earned and burned at a steady rate.

use super::figure::{Figure, percentile};
use super::shop::{MEMBERS, Shop, paced, run as put};
use anyhow::Result;
use oltp::Oltp;
use serde_json::json;
use std::time::Duration;

const RATE: u64 = 500;
const CONNECTIONS: u64 = 16;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let shop = Shop::furnished("points").await?;
    let oltp = shop.oltp.clone();
    let work = move |number| {
        let oltp = oltp.clone();
        async move { earn_and_burn(&oltp, number).await }
    };
    let mut times = paced(RATE, time, CONNECTIONS, work).await?;
    shop.close().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![Figure::new("points_earn_and_burn", p99, "ms p99 at 500/s").spread(p50, p99)])
}

async fn earn_and_burn(oltp: &Oltp, number: u64) -> Result<()> {
    let member = json!({"member_no": format!("bench-{}", number as usize % MEMBERS + 1)});
    let earn = json!({"member": member, "points": 10, "reason": "bench"});
    put(oltp, &format!("e-{number}"), "points_earn", &earn).await?;
    let burn = json!({"member": member, "points": 7, "reason": "bench"});
    put(oltp, &format!("b-{number}"), "points_burn", &burn).await?;
    Ok(())
}
