//! Random carts and random histories of coupons. Whatever is asked, discounts are exact; whatever happened, the books are right.

use crate::coupons::{cart, definition, fresh, public, using, web};
use crate::shop::{Shop, giving_back, order};
use engine_postgres::Version;
use oltp::command::*;
use oltp::{Command, OltpError};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;

const CARTS: usize = 150;
const STEPS: usize = 40;
const SKUS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn random_cart(random: &mut StdRng) -> CartValue {
    let mut put = cart(&[]);
    for line_no in 1..=random.random_range(1..8) {
        let quantity = format!("{}.{}", random.random_range(0..4), random.random_range(0..10_000));
        put.lines
            .extend(cart(&[(line_no, SKUS[random.random_range(0..5)], &quantity, random.random_range(0..5000))]).lines);
    }
    put.shipping_minor = random.random_range(0..900);
    put
}

/// What a line costs, as the cart's owner reckons.
fn amount(line: &CartLineValue) -> i64 {
    let exact = line.quantity * model::Decimal::from(line.unit_price_minor);
    let half_up = rust_decimal::RoundingStrategy::MidpointAwayFromZero;
    rust_decimal::prelude::ToPrimitive::to_i64(&exact.round_dp_with_strategy(0, half_up)).unwrap()
}

async fn many_definitions(shop: &Shop) -> Vec<String> {
    let mut codes = Vec::new();
    for n in 0_i32..12 {
        let mut put = if n % 3 == 0 { public(&format!("d{n:02}")) } else { definition(&format!("d{n:02}")) };
        put.percent_bp = put.percent_bp.map(|_| 700 * n + 33);
        put.amount_minor = put.amount_minor.map(|_| i64::from(n * 997 + 1));
        put.priority = Some(n * 7 % 5 + 1);
        put.max_discount_minor = (n % 4 == 1).then_some(1234);
        put.currency = Some("USD".to_owned());
        if n % 5 == 4 {
            put.include.skus = vec!["a".to_owned(), "c".to_owned()];
        }
        if n % 6 == 5 {
            (put.discount_type, put.percent_bp) = ("shipping".to_owned(), Some(6000));
        }
        codes.push(format!("CODE{n}"));
        shop.coupons(put, &[&codes[n as usize]]).await;
    }
    codes
}

/// Discounts by line.
fn by_line(told: &Value) -> BTreeMap<i64, i64> {
    let lines = told["lines"].as_array().into_iter().flatten();
    lines.map(|line| (line["line_no"].as_i64().unwrap(), line["discount_minor"].as_i64().unwrap())).collect()
}

fn check_told(seed: u64, told: &Value, cart: &CartValue) {
    let (mut sum, mut lines, mut shipping) = (0, BTreeMap::<i64, i64>::new(), 0);
    for code in told["codes"].as_array().unwrap() {
        let discount = code["discount_minor"].as_i64().unwrap();
        sum += discount;
        assert!(code["valid"] == true || discount == 0, "seed {seed}: {told}");
        if code["discount_type"] == "shipping" {
            shipping += discount;
            continue;
        }
        let shares = by_line(code);
        assert_eq!(shares.values().sum::<i64>(), discount, "seed {seed}: {told}");
        shares.into_iter().for_each(|(line_no, share)| *lines.entry(line_no).or_default() += share);
    }
    assert_eq!((told["discount_minor"].as_i64(), by_line(told)), (Some(sum), lines.clone()), "seed {seed}: {told}");
    assert!(shipping <= cart.shipping_minor, "seed {seed}: {told}");
    for line in &cart.lines {
        let share = lines.get(&i64::from(line.line_no)).copied().unwrap_or(0);
        assert!((0..=amount(line)).contains(&share), "seed {seed}: line {} {told}", line.line_no);
    }
}

#[tokio::test]
async fn discounts_of_any_cart_are_exact() {
    let shop = Shop::open(Version::System).await;
    let codes = many_definitions(&shop).await;
    let seed = 11;
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..CARTS {
        let cart = random_cart(&mut random);
        let mut some = codes.clone();
        some.shuffle(&mut random);
        some.truncate(random.random_range(1..6));
        let ask =
            |cart: CartValue, codes: Vec<String>| Command::CouponValidate(ValidateCoupons { codes, cart, order: None });
        let told = shop.done(ask(cart.clone(), some.clone())).await.result.unwrap();
        check_told(seed, &told, &cart);
        // The order of lines and of codes does not matter.
        let (mut other, mut turned) = (cart.clone(), some.clone());
        other.lines.shuffle(&mut random);
        turned.reverse();
        let mut again = shop.done(ask(other, turned)).await.result.unwrap();
        again["codes"].as_array_mut().unwrap().reverse();
        assert_eq!(again, told, "seed {seed}");
        // Ten per cent and more of what all lines cost, rounded once.
        let total: i64 = cart.lines.iter().map(amount).sum();
        let one = shop.done(ask(cart, vec!["CODE2".to_owned()])).await.result.unwrap();
        assert_eq!(one["discount_minor"], (total * 1433 + 5000) / 10_000, "seed {seed}");
    }
}

fn random_command(random: &mut StdRng, reservations: &[uuid::Uuid]) -> Command {
    let code = format!("{}{}", ["U", "L", "P"][random.random_range(0..3)], random.random_range(0..4));
    let order_no = format!("o{}", random.random_range(0..8));
    let mut cart = random_cart(random);
    cart.member_no = [Some("m1"), Some("m2"), None][random.random_range(0..3)].map(str::to_owned);
    let member_no = cart.member_no.clone();
    match random.random_range(0..10) {
        0..2 => Command::CouponReserve(ReserveCoupons {
            codes: vec![code],
            cart,
            order: random.random_bool(0.7).then(|| web(&order_no)),
            ..ReserveCoupons::default()
        }),
        2..4 => {
            Command::CouponRedeem(RedeemCoupons { codes: vec![using(&code)], order: web(&order_no), cart: Some(cart) })
        }
        4..7 => {
            let mut put = PutOrder { source: "web".to_owned(), member_no, ..order(&order_no) };
            put.lines[0].discount_minor = random.random_range(0..1500);
            put.payments.clear();
            put.status = Some(["paid", "cancelled", "fulfilled"][random.random_range(0..3)].to_owned());
            put.redemptions = if random.random_bool(0.8) { vec![using(&code)] } else { Vec::new() };
            Command::Order(put)
        }
        7 => match reservations.last() {
            Some(reservation_id) => Command::CouponRelease(ReleaseCoupons { reservation_id: *reservation_id }),
            None => Command::CouponRollback(RollbackCoupons { redemption_id: None, order: Some(web(&order_no)) }),
        },
        8 => Command::CouponRollback(RollbackCoupons { redemption_id: None, order: Some(web(&order_no)) }),
        _ if random.random_bool(0.1) => Command::CouponVoid(VoidCoupons { code: Some(code), batch_id: None }),
        _ => Command::Return(PutReturn {
            order_source: "web".to_owned(),
            ..giving_back(&format!("r{order_no}"), &order_no, &[(1, "2"), (2, "1")])
        }),
    }
}

/// A fault in what was asked is part of the history; a fault of ours is not.
fn accept(seed: u64, outcome: &Result<oltp::Done, OltpError>) {
    if let Err(error) = outcome {
        assert!(matches!(error.status(), 409 | 422), "seed {seed}: {error}");
    }
}

/// What time does, and a change of limits, in between. Whoever is in the way of others is tried again, as commands are.
async fn disturb(oltp: &oltp::Oltp, random: &mut StdRng) {
    let over = "update crm.coupon_redemption r set reserved_until = now() where r.redemption_id = any (array(
        select o.redemption_id from crm.coupon_redemption o where o.status = 'reserved' and random() < 0.5 for update skip locked))";
    let settle = "select crm.settle_coupons(array(
        select o.order_id from crm.sales_order o order by o.source, o.order_no for no key update))";
    for sql in [over, "select crm.sweep_coupons(now(), 5)", settle] {
        let client = oltp.client().await.unwrap();
        while let Err(error) = client.execute(sql, &[]).await {
            assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::T_R_DEADLOCK_DETECTED), "{error}");
        }
    }
    let budget = PutCouponDefinition { budget_minor: Some(random.random_range(1..20_000)), ..public("p") };
    oltp.run(&fresh(), &Command::CouponDefinition(budget)).await.unwrap();
}

async fn history(version: Version, seed: u64) {
    let shop = Shop::open(version).await;
    shop.coupons(definition("u"), &["U0", "U1", "U2", "U3"]).await;
    let limited = PutCouponDefinition {
        global_limit: Some(5),
        per_member_limit: Some(2),
        uses_per_code: Some(2),
        ..definition("l")
    };
    shop.coupons(limited, &["L0", "L1", "L2", "L3"]).await;
    shop.coupons(PutCouponDefinition { budget_minor: Some(9000), ..public("p") }, &["P0", "P1", "P2", "P3"]).await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let oltp = shop.oltp.clone();
            let mut random = StdRng::seed_from_u64(seed * 100 + task);
            tokio::spawn(async move {
                let mut reservations = Vec::new();
                for _ in 0..STEPS {
                    if random.random_bool(0.1) {
                        let items = (0..5).map(|_| (fresh(), random_command(&mut random, &reservations))).collect();
                        let (outcomes, _) = oltp.run_batch(items).await.unwrap();
                        outcomes.iter().for_each(|outcome| accept(seed, outcome));
                        continue;
                    }
                    if random.random_bool(0.05) {
                        disturb(&oltp, &mut random).await;
                    }
                    let command = random_command(&mut random, &reservations);
                    let outcome = oltp.run(&fresh(), &command).await.map(|(done, _)| done);
                    accept(seed, &outcome);
                    if let (Command::CouponReserve(_), Ok(done)) = (&command, &outcome) {
                        reservations.push(done.id);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    shop.check_books().await;
    let kinds: i64 = shop.value("select count(distinct type) from crm.coupon_event").await;
    assert!(kinds >= 5, "seed {seed}: hardly anything happened");
    let over: i64 = shop.value("select count(*) from crm.coupon_allowance l join crm.coupon_definition d using (definition_id) where d.definition_code = 'l' and l.uses_left < 0").await;
    assert_eq!(over, 0, "seed {seed}: a limit was passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_of_coupons_are_right_after_any_history() {
    for seed in 1..=4 {
        history(Version::BOTH[seed as usize % 2], seed).await;
    }
}
