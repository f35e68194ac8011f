//! Random histories of orders, edits, cancellations and returns, sent concurrently and repeatedly. Whatever came of each, the
//! books are right.

use crate::shop::{Shop, context, giving_back, keyed, line, order, paid, time};
use engine_postgres::Version;
use oltp::command::{PutOrder, PutReturn, RefundValue};
use oltp::{Command, Context, OltpError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ORDERS: u32 = 6;
const STEPS: usize = 60;

fn random_order(random: &mut StdRng) -> PutOrder {
    let mut put = order(&format!("o{}", random.random_range(0..ORDERS)));
    put.member_no = [Some("m1"), Some("m2"), None][random.random_range(0..3)].map(str::to_owned);
    put.status = Some(["paid", "pending", "cancelled", "fulfilled", "returned"][random.random_range(0..5)].to_owned());
    put.lines.clear();
    for number in 1..=6 {
        if number == 1 || random.random_bool(0.6) {
            put.lines.push(random_line(random, number));
        }
    }
    put.payments.clear();
    for number in 1..=3 {
        if random.random_bool(0.4) {
            put.payments.push(paid(number, random.random_range(0..4999)));
        }
    }
    if random.random_bool(0.3) {
        put.order_discount_minor = random.random_range(0..300);
        put.order_tax_minor = random.random_range(0..90);
        put.tax_included = random.random_bool(0.3);
    }
    if random.random_bool(0.2) {
        put.source_version = Some(random.random_range(0..20));
    }
    if random.random_bool(0.3) {
        put.source_updated_at = Some(time(&format!("2026-03-02T{:02}:00:00Z", random.random_range(0..24))));
    }
    put
}

fn random_line(random: &mut StdRng, number: i32) -> oltp::command::OrderLineValue {
    let skus = ["a", "b", "c", "d", "e"];
    let quantity = format!("{}.{}", random.random_range(0..5), random.random_range(0..10_000));
    let mut line = line(number, skus[random.random_range(0..5)], &quantity, random.random_range(0..2000));
    line.voided = random.random_bool(0.1);
    line.tax_minor = random.random_range(0..300);
    if random.random_bool(0.5) {
        line.gross_minor = Some(random.random_range(100..5000));
        line.discount_minor = random.random_range(0..100);
    }
    line
}

fn random_return(random: &mut StdRng) -> PutReturn {
    let mut put =
        giving_back(&format!("r{}", random.random_range(0..9)), &format!("o{}", random.random_range(0..ORDERS)), &[]);
    for number in 1..=6 {
        if random.random_bool(0.4) {
            let quantity = format!("{}.{}", random.random_range(0..3), random.random_range(1..10));
            put.lines.extend(giving_back("", "", &[(number, &quantity)]).lines);
        }
    }
    for number in 1..=2 {
        if random.random_bool(0.4) {
            put.refunds.push(RefundValue {
                refund_no: number,
                payment_no: [None, Some(1), Some(2)][random.random_range(0..3)],
                tender_type: "card".to_owned(),
                amount_minor: random.random_range(0..1500),
                status: [None, Some("pending"), Some("failed")][random.random_range(0..3)].map(str::to_owned),
                ..RefundValue::default()
            });
        }
    }
    put.status = Some(["completed", "completed", "requested", "rejected"][random.random_range(0..4)].to_owned());
    put
}

fn random_command(random: &mut StdRng) -> Command {
    if random.random_bool(0.6) { Command::Order(random_order(random)) } else { Command::Return(random_return(random)) }
}

/// A fault in what was asked is part of the history; a fault of ours is not.
fn accept(seed: u64, outcome: &Result<oltp::Done, OltpError>) {
    if let Err(error) = outcome {
        assert!(matches!(error.status(), 409 | 422), "seed {seed}: {error}");
    }
}

async fn history(version: Version, seed: u64) {
    let shop = Shop::empty(version).await;
    shop.furnish().await;
    let tasks: Vec<_> = (0..4_u64)
        .map(|task| {
            let shop = shop.oltp.clone();
            let mut random = StdRng::seed_from_u64(seed * 100 + task);
            tokio::spawn(async move {
                for step in 0..STEPS {
                    if random.random_bool(0.2) {
                        let items = (0..8).map(|_| (context(), random_command(&mut random))).collect();
                        let (outcomes, _) = shop.run_batch(items).await.unwrap();
                        outcomes.iter().for_each(|outcome| accept(seed, outcome));
                        continue;
                    }
                    let command = random_command(&mut random);
                    let key: Context =
                        if random.random_bool(0.5) { keyed(&format!("{task}-{step}")) } else { context() };
                    let first = shop.run(&key, &command).await.map(|(done, _)| done);
                    accept(seed, &first);
                    if let (true, Some(_), Ok(first)) = (random.random_bool(0.3), &key.idempotency_key, first) {
                        let again = shop.run(&key, &command).await.unwrap().0;
                        assert!(again.repeated && again.id == first.id && again.effect == first.effect, "seed {seed}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    shop.check_books().await;
    let orders: i64 = shop.value("select count(*) from crm.sales_order").await;
    let entries: i64 = shop.value("select count(*) from crm.points_ledger").await;
    let returns: i64 = shop.value("select count(*) from crm.sales_return").await;
    assert!(orders > 2 && entries > 10 && returns > 1, "seed {seed}: hardly anything happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_after_any_history() {
    for seed in 1..=4 {
        history(Version::BOTH[seed as usize % 2], seed).await;
    }
}
