//! Commands of many callers at the same moment.

use crate::shop::{Shop, context, keyed, line, order};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use futures_util::future::join_all;
use oltp::command::PutOrder;
use oltp::{Command, Config, Context, Effect, Oltp};
use serde_json::json;

crate::on_both!(
    commands_that_wait_go_together,
    a_bad_one_harms_no_other,
    one_that_waits_for_a_lock_holds_up_no_other,
    one_that_gets_no_lock_fails_alone,
    of_those_who_saw_one_version_one_wins,
    what_nobody_waits_for_is_done,
);

/// One transaction at a time, so that all others gather behind it.
async fn narrow(version: Version) -> Shop {
    let shop = Shop::with(version, Config { gather_transactions: 1, ..Config::default() }).await;
    shop.furnish().await;
    shop
}

async fn put(oltp: &Oltp, who: Context, order: PutOrder) -> Result<Effect, &'static str> {
    match oltp.run(&who, &Command::Order(order)).await {
        Ok((done, _)) => Ok(done.effect),
        Err(error) => Err(error.code()),
    }
}

async fn commands_that_wait_go_together(version: Version) {
    let shop = narrow(version).await;
    let who = |n: usize| Context {
        request_id: format!("r-{n}"),
        ..if n.is_multiple_of(2) { context() } else { keyed(&n.to_string()) }
    };
    let outcomes = join_all((0..200).map(|n| put(&shop, who(n), order(&n.to_string())))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Ok(Effect::Created)), "{outcomes:?}");
    let transactions: i64 = shop.value("select count(distinct xmin::text) from crm.sales_order").await;
    assert!(transactions < 100, "{transactions} transactions");
    // Each under its own name.
    let requests: i64 = shop.value("select count(distinct request_id) from crm.audit_log where entity = 'order'").await;
    assert_eq!((requests, shop.points("m1").await), (200, 200 * 25));
    shop.check_books().await;
}

async fn a_bad_one_harms_no_other(version: Version) {
    let shop = narrow(version).await;
    // A rule that no check of ours knows of.
    let client = shop.owner().await.unwrap();
    client.batch_execute("alter table crm.order_line add check (description <> 'boom')").await.unwrap();
    let outcomes = join_all((0..40).map(|n| {
        let mut order = order(&n.to_string());
        match n {
            // One that a function finds, and one at which the transaction itself ends.
            20 => order.lines[0] = line(1, "unknown", "2", 1_000),
            30 => order.order_no = "0".to_owned(),
            31 => order.lines[0].description = Some("boom".to_owned()),
            _ => {}
        }
        let shop = &shop;
        async move { put(shop, context(), order).await }
    }))
    .await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match n {
            20 => assert_eq!(outcome, Err("oltp.unknown_sku")),
            30 => assert_eq!(outcome, Ok(Effect::Unchanged)),
            31 => assert_eq!(outcome, Err("oltp.out_of_range")),
            _ => assert_eq!(outcome, Ok(Effect::Created), "{n}"),
        }
    }
    shop.check_books().await;
}

async fn one_that_waits_for_a_lock_holds_up_no_other(version: Version) {
    let shop = narrow(version).await;
    shop.put(order("1")).await;
    let mut other = connect(&shop.pg).await.unwrap();
    let held = other.transaction().await.unwrap();
    held.execute("select from crm.sales_order where order_no = '1' for update", &[]).await.unwrap();
    let mut edit = order("1");
    edit.shipping_minor = 500;
    let store = shop.oltp.clone();
    let waits = tokio::spawn(async move { put(&store, context(), edit).await });
    shop.waiting().await;
    assert_eq!(put(&shop, context(), order("2")).await, Ok(Effect::Created));
    held.commit().await.unwrap();
    assert_eq!(waits.await.unwrap(), Ok(Effect::Updated));
    assert_eq!(shop.order("1").await["shipping_minor"], json!(500));
}

async fn one_that_gets_no_lock_fails_alone(version: Version) {
    let impatient = Config { gather_transactions: 1, lock_timeout_ms: 500, ..Config::default() };
    let shop = Shop::with(version, impatient).await;
    shop.furnish().await;
    shop.put(order("1")).await;
    let mut other = connect(&shop.pg).await.unwrap();
    let held = other.transaction().await.unwrap();
    held.execute("select from crm.sales_order where order_no = '1' for update", &[]).await.unwrap();
    let outcomes = join_all((1..=10).map(|n| {
        let mut order = order(&n.to_string());
        order.shipping_minor = 500;
        put(&shop, context(), order)
    }))
    .await;
    assert_eq!(outcomes[0], Err("oltp.unavailable"));
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Ok(Effect::Created)), "{outcomes:?}");
    held.commit().await.unwrap();
    assert_eq!(shop.order("1").await["shipping_minor"], json!(0));
    shop.check_books().await;
}

async fn of_those_who_saw_one_version_one_wins(version: Version) {
    let shop = narrow(version).await;
    shop.put(order("1")).await;
    let outcomes = join_all((0..20).map(|n| {
        let (mut who, mut edit) = (context(), order(if n < 10 { "1" } else { "2" }));
        // Half of them edit what they saw, the others make or edit another order without having looked.
        who.if_version = (n < 10).then_some(1);
        edit.shipping_minor = 100 + n;
        put(&shop, who, edit)
    }))
    .await;
    let (saw, others) = outcomes.split_at(10);
    let won = saw.iter().filter(|outcome| **outcome == Ok(Effect::Updated)).count();
    let lost = saw.iter().filter(|outcome| **outcome == Err("oltp.version_mismatch")).count();
    assert_eq!((won, lost), (1, 9), "{saw:?}");
    assert!(others.iter().all(Result::is_ok), "{others:?}");
    shop.check_books().await;
}

async fn what_nobody_waits_for_is_done(version: Version) {
    let shop = narrow(version).await;
    let mut leaving: Vec<_> = (0..20).map(|n| Box::pin(put(&shop, context(), order(&format!("left-{n}"))))).collect();
    for call in &mut leaving {
        assert!(futures_util::poll!(call).is_pending());
    }
    drop(leaving);
    assert_eq!(put(&shop, context(), order("stays")).await, Ok(Effect::Created));
    // Those before it went in the same transaction or in one before.
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 21);
}
