//! A code tried against a cart and redeemed with its order, at a steady rate.

use super::figure::{Figure, percentile};
use super::shop::{MEMBERS, Shop, WARM, command, paced, run as put};
use anyhow::{Result, ensure};
use oltp::{Context, Oltp};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const RATE: u64 = 500;
const CONNECTIONS: u64 = 16;
/// Codes of one issue, for its own figure.
const ISSUED: u64 = 100_000;

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let shop = Shop::furnished("coupons").await?;
    let definition = json!({"definition_code": "bench", "title": "Bench", "status": "active", "discount_type": "percent",
        "percent_bp": 1_000, "global_limit": 10_000_000, "per_member_limit": 10_000_000});
    put(&shop.oltp, "definition", "coupon_definition", &definition).await?;
    let begin = Instant::now();
    put(&shop.oltp, "issue", "coupon_issue", &json!({"definition_code": "bench", "count": ISSUED})).await?;
    let issued = begin.elapsed();
    let codes: Vec<String> = (0..RATE * (WARM + time.as_secs())).map(code).collect();
    for (n, some) in codes.chunks(10_000).enumerate() {
        let issue = json!({"definition_code": "bench", "codes": some});
        put(&shop.oltp, &format!("codes-{n}"), "coupon_issue", &issue).await?;
    }
    let oltp = shop.oltp.clone();
    let work = move |number| {
        let oltp = oltp.clone();
        async move { use_code(&oltp, number).await }
    };
    let mut times = paced(RATE, time, CONNECTIONS, work).await?;
    shop.close().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![
        Figure::new("coupon_issue", issued.as_secs_f64(), "s for 100,000 codes"),
        Figure::new("coupon_validate_and_redeem", p99, "ms p99 at 500/s").spread(p50, p99),
    ])
}

fn code(number: u64) -> String {
    format!("BENCH{number:08}")
}

fn cart(number: u64) -> Value {
    json!({"member_no": format!("bench-{}", number as usize % MEMBERS + 1), "store_code": "bench", "channel": "pos", "currency": "USD",
        "lines": [{"line_no": 1, "sku_code": "bench-1", "quantity": "2", "unit_price_minor": 699}]})
}

async fn use_code(oltp: &Oltp, number: u64) -> Result<()> {
    // A question needs no key.
    let context = Context { actor: "bench".to_owned(), request_id: format!("v-{number}"), ..Context::default() };
    let question = command("coupon_validate", &json!({"codes": [code(number)], "cart": cart(number)}))?;
    let told = oltp.run(&context, &question).await?.0;
    ensure!(told.result.is_some_and(|result| result["valid"] == true), "a code was refused");
    let redemption = json!({"codes": [{"code": code(number)}], "cart": cart(number),
        "order": {"source": "bench", "order_no": number.to_string()}});
    put(oltp, &format!("r-{number}"), "coupon_redeem", &redemption).await?;
    Ok(())
}
