use crate::shop::{Shop, act, context, giving_back, keyed, line, order, store};
use engine_postgres::Version;
use oltp::command::*;
use oltp::{Command, Effect, Entity};
use serde_json::Value;
use std::collections::HashSet;
use uuid::Uuid;

crate::on_both!(
    goods_come_and_go_and_are_counted,
    books_do_not_come_below_nothing,
    orders_take_what_they_sell_and_give_it_back,
    what_was_sold_is_gone_whatever_was_promised,
    what_is_promised_cannot_be_promised_again,
    a_promise_ends_on_time,
    an_order_captures_what_was_reserved_for_it,
    bundles_take_their_components,
    orders_keep_the_bundle_that_they_were_made_with,
    transfers_are_on_their_way,
    levels_of_other_systems_become_movements,
    what_was_sold_before_is_not_taken,
    goods_that_come_back_otherwise_are_stock_too,
    the_last_pieces_go_to_as_many_as_there_are,
);

pub fn goods(lines: &[(&str, &str)]) -> Vec<StockLineValue> {
    let value = |(code, quantity): &(&str, &str)| StockLineValue {
        sku_code: (*code).to_owned(),
        quantity: quantity.parse().unwrap(),
    };
    lines.iter().map(value).collect()
}

pub fn receive(store: &str, lines: &[(&str, &str)]) -> Command {
    Command::StockReceive(StockReceive { store_code: store.to_owned(), lines: goods(lines), ..StockReceive::default() })
}

pub fn adjust(store: &str, lines: &[(&str, &str)]) -> Command {
    let reason = "found".to_owned();
    Command::StockAdjust(StockAdjust {
        store_code: store.to_owned(),
        lines: goods(lines),
        reason,
        ..StockAdjust::default()
    })
}

pub fn counted(store: &str, lines: &[(&str, &str)]) -> Command {
    Command::StockCount(StockCount { store_code: store.to_owned(), lines: goods(lines), ..StockCount::default() })
}

pub fn shrink(store: &str, lines: &[(&str, &str)]) -> Command {
    let reason = "damaged".to_owned();
    Command::StockShrink(StockShrink {
        store_code: store.to_owned(),
        lines: goods(lines),
        reason,
        ..StockShrink::default()
    })
}

pub fn reserve(store: &str, lines: &[(&str, &str)], order_no: Option<&str>) -> StockReserve {
    StockReserve {
        store_code: store.to_owned(),
        lines: goods(lines),
        ttl_s: None,
        order_source: order_no.map(|_| "till".to_owned()),
        order_no: order_no.map(str::to_owned),
    }
}

pub fn transfer(number: &str, from: &str, to: &str, lines: &[(&str, &str)]) -> Command {
    Command::StockTransfer(StockTransfer {
        transfer_no: number.to_owned(),
        from_store_code: from.to_owned(),
        to_store_code: to.to_owned(),
        lines: goods(lines),
        moved_at: None,
    })
}

pub fn arrived(number: &str, lines: Option<&[(&str, &str)]>, close: bool) -> Command {
    Command::StockTransferReceive(StockTransferReceive {
        transfer_no: number.to_owned(),
        lines: lines.map(goods),
        close,
        moved_at: None,
    })
}

pub fn capture(id: Uuid) -> Command {
    Command::StockCapture(StockCapture { reservation_id: id })
}

pub fn release(id: Uuid) -> Command {
    Command::StockRelease(StockRelease { reservation_id: id })
}

/// On hand, reserved, in transit, oversold, as `10 2 0 0`.
async fn level(shop: &Shop, store: &str, sku: &str) -> String {
    shop.value(&format!(
        "select concat_ws(' ', trim_scale(v.on_hand), trim_scale(v.reserved), trim_scale(v.in_transit), trim_scale(v.oversold))
        from crm.inventory_level v join crm.store using (store_id) join crm.sku using (sku_id)
        where store_code = '{store}' and sku_code = '{sku}'"
    ))
    .await
}

/// A shop with ten of `a`, `b` and `c` in `s1`, and a store `s2`.
async fn stocked(version: Version) -> Shop {
    let shop = Shop::open(version).await;
    shop.done(Command::Store(store("s2"))).await;
    act(&shop, receive("s1", &[("a", "10"), ("b", "10"), ("c", "10")])).await.unwrap();
    shop
}

async fn goods_come_and_go_and_are_counted(version: Version) {
    let shop = stocked(version).await;
    let done = act(&shop, receive("s1", &[("a", "2.5")])).await.unwrap();
    assert_eq!(done.effect, Effect::Created);
    assert_eq!(done.result.unwrap()["levels"][0]["on_hand"], "12.5");
    act(&shop, adjust("s1", &[("a", "-0.5"), ("b", "1")])).await.unwrap();
    act(&shop, shrink("s1", &[("a", "2")])).await.unwrap();
    assert_eq!(level(&shop, "s1", "a").await, "10 0 0 0");
    act(&shop, counted("s1", &[("a", "9"), ("b", "11"), ("d", "3")])).await.unwrap();
    assert_eq!(level(&shop, "s1", "a").await, "9 0 0 0");
    assert_eq!(level(&shop, "s1", "d").await, "3 0 0 0");
    // What was counted as it was is no movement.
    assert_eq!(shop.value::<i64>("select count(*) from crm.inventory_movement where type = 'count'").await, 2);
    let page = shop.page(Entity::INVENTORY_LEVEL, &[("store", "s1"), ("sku", "a")]).await;
    assert_eq!(page.items[0]["on_hand"], "9");
    let page = shop.page(Entity::INVENTORY_MOVEMENT, &[("sku", "a"), ("type", "shrink")]).await;
    assert_eq!((page.items.len(), &page.items[0]["quantity"]), (1, &Value::from("-2")));
    // The same key again does nothing more.
    let again = keyed("once");
    for repeated in [false, true] {
        let (done, _) = shop.run(&again, &receive("s1", &[("a", "1")])).await.unwrap();
        assert_eq!(done.repeated, repeated);
    }
    assert_eq!(level(&shop, "s1", "a").await, "10 0 0 0");
    let error = shop.run(&context(), &receive("s1", &[("a", "1")])).await.unwrap_err();
    assert_eq!(error.code(), "oltp.idempotency_key_required");
    shop.check_books().await;
}

async fn books_do_not_come_below_nothing(version: Version) {
    let shop = stocked(version).await;
    for (command, code, pointer) in [
        (shrink("s1", &[("a", "1"), ("b", "11")]), "oltp.insufficient_stock", "/lines/1/quantity"),
        (adjust("s1", &[("a", "-10.0001")]), "oltp.insufficient_stock", "/lines/0/quantity"),
        (shrink("s1", &[("d", "1")]), "oltp.not_stocked", "/lines/0/sku_code"),
        (receive("none", &[("a", "1")]), "oltp.unknown_store", "/store_code"),
        (receive("s1", &[("a", "1"), ("none", "1")]), "oltp.unknown_sku", "/lines/1/sku_code"),
        (receive("s1", &[("a", "0")]), "oltp.out_of_range", "/lines/0/quantity"),
        (receive("s1", &[("a", "1"), ("a", "1")]), "oltp.duplicate_line", "/lines/1/sku_code"),
        (adjust("s1", &[("a", "0")]), "oltp.out_of_range", "/lines/0/quantity"),
        (counted("s1", &[("a", "-1")]), "oltp.out_of_range", "/lines/0/quantity"),
        (transfer("t", "s1", "s2", &[("a", "11")]), "oltp.insufficient_stock", "/lines/0/quantity"),
    ] {
        let error = act(&shop, command).await.unwrap_err();
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
    assert_eq!(level(&shop, "s1", "a").await, "10 0 0 0");
    // A refused command does not make a SKU a tracked one.
    assert_eq!(shop.value::<i64>("select count(*) from crm.inventory_level").await, 3);
    let lenient = PutStore { allow_negative_stock: Some(true), ..store("s1") };
    shop.done(Command::Store(lenient)).await;
    act(&shop, shrink("s1", &[("a", "11"), ("d", "1")])).await.unwrap();
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "d").await), ("-1 0 0 1".into(), "-1 0 0 1".into()));
    act(&shop, Command::StockReserve(reserve("s1", &[("b", "12")], None))).await.unwrap();
    assert_eq!(level(&shop, "s1", "b").await, "10 12 0 2");
    shop.check_books().await;
}

async fn orders_take_what_they_sell_and_give_it_back(version: Version) {
    let shop = stocked(version).await;
    let sold =
        PutOrder { lines: vec![line(1, "a", "2", 1000), line(2, "b", "1", 550), line(3, "d", "1", 100)], ..order("1") };
    shop.put(sold.clone()).await;
    assert_eq!(level(&shop, "s1", "a").await, "8 0 0 0");
    assert_eq!(level(&shop, "s1", "b").await, "9 0 0 0");
    let moved: String = shop
        .value("select string_agg(to_char(moved_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), ' ') from crm.inventory_movement where type = 'sale'")
        .await;
    assert_eq!(moved, "2026-03-02 09:30 2026-03-02 09:30");
    // An edit, a return, its rejection, another store, a cancellation: always the difference.
    shop.put(PutOrder { lines: vec![line(1, "a", "3", 1000), line(2, "c", "1", 550)], ..sold.clone() }).await;
    assert_eq!(level(&shop, "s1", "a").await, "7 0 0 0");
    assert_eq!(level(&shop, "s1", "b").await, "10 0 0 0");
    assert_eq!(level(&shop, "s1", "c").await, "9 0 0 0");
    act(&shop, counted("s2", &[("a", "0")])).await.unwrap();
    let back = giving_back("r1", "1", &[(1, "2")]);
    shop.done(Command::Return(back.clone())).await;
    assert_eq!(level(&shop, "s1", "a").await, "9 0 0 0");
    shop.done(Command::Return(PutReturn { status: Some("rejected".to_owned()), ..back.clone() })).await;
    assert_eq!(level(&shop, "s1", "a").await, "7 0 0 0");
    shop.done(Command::Return(PutReturn { store_code: Some("s2".to_owned()), ..back })).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s2", "a").await), ("7 0 0 0".into(), "2 0 0 0".into()));
    shop.check_books().await;
    let lines = vec![line(1, "a", "3", 1000), line(2, "c", "1", 550)];
    shop.put(PutOrder { status: Some("cancelled".to_owned()), lines, ..sold }).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s2", "a").await), ("10 0 0 0".into(), "0 0 0 0".into()));
    assert_eq!(level(&shop, "s1", "c").await, "10 0 0 0");
    shop.check_books().await;
}

async fn what_was_sold_is_gone_whatever_was_promised(version: Version) {
    let shop = stocked(version).await;
    act(&shop, Command::StockReserve(reserve("s1", &[("a", "9")], None))).await.unwrap();
    shop.put(order("1")).await;
    // The till sold two, of which one was promised.
    assert_eq!(level(&shop, "s1", "a").await, "8 9 0 1");
    let error = act(&shop, Command::StockReserve(reserve("s1", &[("a", "1")], None))).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), ("oltp.insufficient_stock", "0 are available".to_owned()));
    let page = shop.page(Entity::INVENTORY_LEVEL, &[("oversold", "true")]).await;
    assert_eq!(page.items.len(), 1);
    shop.put(PutOrder { lines: vec![line(1, "a", "12", 1000)], ..order("2") }).await;
    assert_eq!(level(&shop, "s1", "a").await, "-4 9 0 13");
    act(&shop, receive("s1", &[("a", "20")])).await.unwrap();
    assert_eq!(level(&shop, "s1", "a").await, "16 9 0 0");
    shop.check_books().await;
}

async fn what_is_promised_cannot_be_promised_again(version: Version) {
    let shop = stocked(version).await;
    let held = act(&shop, Command::StockReserve(reserve("s1", &[("a", "6"), ("b", "1")], None))).await.unwrap();
    assert_eq!(held.result.unwrap()["reservation_id"], held.id.to_string());
    // All lines or none.
    let error = act(&shop, Command::StockReserve(reserve("s1", &[("b", "1"), ("a", "5")], None))).await.unwrap_err();
    assert_eq!((error.code(), error.pointer()), ("oltp.insufficient_stock", Some("/lines/1/quantity")));
    assert_eq!(error.detail(), "4 are available");
    let error = act(&shop, transfer("t", "s1", "s2", &[("a", "5")])).await.unwrap_err();
    assert_eq!(error.code(), "oltp.insufficient_stock");
    assert_eq!(act(&shop, capture(held.id)).await.unwrap().effect, Effect::Updated);
    assert_eq!(level(&shop, "s1", "a").await, "4 0 0 0");
    assert_eq!(act(&shop, capture(held.id)).await.unwrap().effect, Effect::Unchanged);
    assert_eq!(act(&shop, release(held.id)).await.unwrap_err().code(), "oltp.reservation_ended");
    let other = act(&shop, Command::StockReserve(reserve("s1", &[("a", "4")], None))).await.unwrap();
    assert_eq!(act(&shop, release(other.id)).await.unwrap().effect, Effect::Updated);
    assert_eq!(act(&shop, release(other.id)).await.unwrap().effect, Effect::Unchanged);
    assert_eq!(act(&shop, capture(other.id)).await.unwrap_err().code(), "oltp.reservation_ended");
    assert_eq!(act(&shop, capture(Uuid::now_v7())).await.unwrap_err().code(), "oltp.unknown_reservation");
    assert_eq!(level(&shop, "s1", "a").await, "4 0 0 0");
    shop.check_books().await;
}

/// Brings the end of all reservations forward.
async fn all_over(shop: &Shop) {
    let sql = "with over as (update crm.inventory_reservation set expires_at = now() - interval '1 second' returning 1) select count(*) from over";
    assert!(shop.value::<i64>(sql).await > 0);
}

async fn a_promise_ends_on_time(version: Version) {
    let shop = stocked(version).await;
    let first = act(&shop, Command::StockReserve(reserve("s1", &[("a", "8"), ("b", "10")], None))).await.unwrap();
    all_over(&shop).await;
    // Nobody swept: it is over all the same.
    assert_eq!(act(&shop, capture(first.id)).await.unwrap_err().code(), "oltp.reservation_ended");
    act(&shop, Command::StockReserve(reserve("s1", &[("a", "10")], None))).await.unwrap();
    assert_eq!(
        (level(&shop, "s1", "a").await, level(&shop, "s1", "b").await),
        ("10 10 0 0".into(), "10 10 0 0".into())
    );
    shop.check_books().await;
    let now = jiff::Timestamp::now();
    assert_eq!(shop.sweep(oltp::Due::Stock, now, 100).await.unwrap(), 1);
    assert_eq!(shop.sweep(oltp::Due::Stock, now, 100).await.unwrap(), 0);
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("10 10 0 0".into(), "10 0 0 0".into()));
    assert_eq!(act(&shop, release(first.id)).await.unwrap().effect, Effect::Unchanged);
    shop.check_books().await;
}

async fn an_order_captures_what_was_reserved_for_it(version: Version) {
    let shop = stocked(version).await;
    act(&shop, counted("s2", &[("a", "5"), ("b", "5")])).await.unwrap();
    // Reserved in the warehouse, sold in the web shop, which has no stock.
    shop.done(Command::Store(PutStore { store_type: Some("web".to_owned()), ..store("web") })).await;
    let web = |number: &str, status: &str| PutOrder {
        store_code: Some("web".to_owned()),
        channel: "ecom".to_owned(),
        status: Some(status.to_owned()),
        ..order(number)
    };
    act(&shop, Command::StockReserve(reserve("s2", &[("a", "2"), ("b", "1")], Some("1")))).await.unwrap();
    shop.put(web("1", "pending")).await;
    assert_eq!(level(&shop, "s2", "a").await, "5 2 0 0");
    shop.put(web("1", "paid")).await;
    assert_eq!(level(&shop, "s2", "a").await, "3 0 0 0");
    shop.put(PutOrder { lines: vec![line(1, "a", "1", 1000)], ..web("1", "paid") }).await;
    assert_eq!((level(&shop, "s2", "a").await, level(&shop, "s2", "b").await), ("4 0 0 0".into(), "5 0 0 0".into()));
    shop.check_books().await;
    shop.put(web("1", "cancelled")).await;
    assert_eq!(level(&shop, "s2", "a").await, "5 0 0 0");
    // A cancelled order lets go of what it had not taken.
    act(&shop, Command::StockReserve(reserve("s2", &[("a", "2")], Some("2")))).await.unwrap();
    shop.put(web("2", "cancelled")).await;
    assert_eq!(level(&shop, "s2", "a").await, "5 0 0 0");
    // Captured by a command of its own, before the order is known and while it is pending: taken once.
    let held = act(&shop, Command::StockReserve(reserve("s2", &[("a", "2")], Some("3")))).await.unwrap();
    act(&shop, capture(held.id)).await.unwrap();
    for status in ["pending", "paid", "fulfilled"] {
        shop.put(web("3", status)).await;
        assert_eq!(level(&shop, "s2", "a").await, "3 0 0 0");
    }
    // In the store of the order: once, too.
    act(&shop, Command::StockReserve(reserve("s1", &[("a", "1")], Some("4")))).await.unwrap();
    shop.put(order("4")).await;
    assert_eq!(level(&shop, "s1", "a").await, "8 0 0 0");
    shop.check_books().await;
}

fn bundle(components: &[(&str, &str)]) -> Command {
    let components = components
        .iter()
        .map(|(code, quantity)| ComponentValue { sku_code: (*code).to_owned(), quantity: quantity.parse().unwrap() })
        .collect();
    Command::Bundle(PutBundle { sku_code: "e".to_owned(), components })
}

async fn bundles_take_their_components(version: Version) {
    let shop = stocked(version).await;
    assert_eq!(shop.done(bundle(&[("a", "2"), ("b", "0.5")])).await.effect, Effect::Created);
    assert_eq!(shop.done(bundle(&[("a", "2"), ("b", "0.5")])).await.effect, Effect::Unchanged);
    assert_eq!(shop.refused(bundle(&[("e", "2")])).await.code(), "oltp.nested_bundle");
    assert_eq!(act(&shop, receive("s1", &[("e", "1")])).await.unwrap_err().code(), "oltp.bundle_stock");
    let stocked = PutBundle { sku_code: "a".to_owned(), ..PutBundle::default() };
    let components = vec![ComponentValue { sku_code: "d".to_owned(), quantity: 1.into() }];
    let error = shop.refused(Command::Bundle(PutBundle { components, ..stocked })).await;
    assert_eq!(error.code(), "oltp.not_a_bundle");
    let read = shop.get(Entity::SKU, "e", false).await.unwrap().unwrap();
    assert_eq!((&read["type"], &read["components"][1]["quantity"]), (&Value::from("bundle"), &Value::from("0.5")));

    let sold = PutOrder { lines: vec![line(1, "e", "3", 1000), line(2, "a", "1", 100)], ..order("1") };
    shop.put(sold).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("3 0 0 0".into(), "8.5 0 0 0".into()));
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "1")]))).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("5 0 0 0".into(), "9 0 0 0".into()));
    act(&shop, Command::StockReserve(reserve("s1", &[("e", "1"), ("a", "1")], None))).await.unwrap();
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("5 3 0 0".into(), "9 0.5 0 0".into()));
    let error = act(&shop, Command::StockReserve(reserve("s1", &[("e", "2")], None))).await.unwrap_err();
    assert_eq!((error.code(), error.pointer()), ("oltp.insufficient_stock", Some("/lines/0/quantity")));
    shop.check_books().await;
}

async fn orders_keep_the_bundle_that_they_were_made_with(version: Version) {
    let shop = stocked(version).await;
    shop.done(bundle(&[("a", "2"), ("b", "1")])).await;
    let sold = |quantity: &str, number: &str| PutOrder {
        lines: vec![line(1, "e", quantity, 1000)],
        payments: vec![],
        ..order(number)
    };
    shop.put(sold("1", "1")).await;
    assert_eq!(shop.done(bundle(&[("a", "1"), ("c", "1")])).await.effect, Effect::Updated);
    shop.put(sold("2", "1")).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("6 0 0 0".into(), "8 0 0 0".into()));
    assert_eq!(level(&shop, "s1", "c").await, "10 0 0 0");
    shop.put(sold("1", "2")).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "c").await), ("5 0 0 0".into(), "9 0 0 0".into()));
    shop.check_books().await;
}

async fn transfers_are_on_their_way(version: Version) {
    let shop = stocked(version).await;
    act(&shop, transfer("t1", "s1", "s2", &[("a", "4"), ("b", "2")])).await.unwrap();
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s2", "a").await), ("6 0 0 0".into(), "0 0 4 0".into()));
    let again = act(&shop, transfer("t1", "s1", "s2", &[("a", "1")])).await.unwrap_err();
    assert_eq!(again.code(), "oltp.transfer_exists");
    let error = act(&shop, arrived("t1", Some(&[("a", "5")]), false)).await.unwrap_err();
    assert_eq!((error.code(), error.pointer()), ("oltp.over_receive", Some("/lines/0/quantity")));
    let error = act(&shop, arrived("t1", Some(&[("c", "1")]), false)).await.unwrap_err();
    assert_eq!(error.code(), "oltp.not_in_transfer");
    assert_eq!(act(&shop, arrived("none", None, false)).await.unwrap_err().code(), "oltp.unknown_transfer");
    act(&shop, arrived("t1", Some(&[("a", "3")]), false)).await.unwrap();
    assert_eq!(level(&shop, "s2", "a").await, "3 0 1 0");
    shop.check_books().await;
    let done = act(&shop, arrived("t1", Some(&[("b", "2")]), true)).await.unwrap();
    assert_eq!(done.result.unwrap()["status"], "received");
    assert_eq!((level(&shop, "s2", "a").await, level(&shop, "s2", "b").await), ("3 0 0 0".into(), "2 0 0 0".into()));
    assert_eq!(act(&shop, arrived("t1", None, false)).await.unwrap().effect, Effect::Unchanged);
    let read = shop.get(Entity::INVENTORY_TRANSFER, "t1", false).await.unwrap().unwrap();
    assert_eq!((&read["lines"][0]["lost"], &read["status"]), (&Value::from("1"), &Value::from("received")));
    act(&shop, transfer("t2", "s2", "s1", &[("a", "3")])).await.unwrap();
    act(&shop, arrived("t2", None, false)).await.unwrap();
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s2", "a").await), ("9 0 0 0".into(), "0 0 0 0".into()));
    shop.check_books().await;
}

async fn levels_of_other_systems_become_movements(version: Version) {
    let shop = stocked(version).await;
    let put = |on_hand: &str, version: i64| {
        Command::InventoryLevel(PutInventoryLevel {
            store_code: "s1".to_owned(),
            sku_code: "a".to_owned(),
            on_hand: Some(on_hand.parse().unwrap()),
            source_version: Some(version),
            ..PutInventoryLevel::default()
        })
    };
    assert_eq!(shop.done(put("7", 2)).await.effect, Effect::Updated);
    act(&shop, receive("s1", &[("a", "1")])).await.unwrap();
    // What came again or late changes nothing.
    assert_eq!(shop.done(put("7", 2)).await.effect, Effect::Unchanged);
    assert_eq!(shop.done(put("1", 1)).await.effect, Effect::Unchanged);
    assert_eq!(level(&shop, "s1", "a").await, "8 0 0 0");
    let derived = "select trim_scale(sum(quantity))::text from crm.inventory_movement where derived";
    assert_eq!(shop.value::<String>(derived).await, "-3");
    act(&shop, Command::StockReserve(reserve("s1", &[("a", "2")], None))).await.unwrap();
    let available = PutInventoryLevel {
        store_code: "s1".to_owned(),
        sku_code: "a".to_owned(),
        available: Some(5.into()),
        source_version: Some(3),
        ..PutInventoryLevel::default()
    };
    shop.done(Command::InventoryLevel(available.clone())).await;
    assert_eq!(level(&shop, "s1", "a").await, "7 2 0 0");
    assert_eq!(shop.done(put("-2", 4)).await.effect, Effect::Updated);
    assert_eq!(level(&shop, "s1", "a").await, "-2 2 0 4");
    let new = PutInventoryLevel { sku_code: "d".to_owned(), ..available.clone() };
    assert_eq!(shop.done(Command::InventoryLevel(new)).await.effect, Effect::Created);
    let error = shop.refused(Command::InventoryLevel(PutInventoryLevel { source_version: None, ..available })).await;
    assert_eq!(error.pointer(), Some("/source_version"));
    shop.check_books().await;
}

async fn what_was_sold_before_is_not_taken(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    act(&shop, counted("s1", &[("a", "8")])).await.unwrap();
    shop.put(PutOrder { status: Some("fulfilled".to_owned()), ..order("1") }).await;
    assert_eq!(level(&shop, "s1", "a").await, "8 0 0 0");
    // What comes back now is there now.
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "1")]))).await;
    assert_eq!(level(&shop, "s1", "a").await, "9 0 0 0");
    shop.check_books().await;
}

async fn goods_that_come_back_otherwise_are_stock_too(version: Version) {
    let shop = stocked(version).await;
    // Without a receipt.
    let mut blind = PutReturn {
        order_source: String::new(),
        order_no: String::new(),
        currency: Some("USD".to_owned()),
        store_code: Some("s1".to_owned()),
        ..giving_back("blind", "", &[(1, "2")])
    };
    blind.lines[0].sku_code = Some("a".to_owned());
    blind.lines[0].net_minor = Some(100);
    shop.done(Command::Return(blind.clone())).await;
    assert_eq!(level(&shop, "s1", "a").await, "12 0 0 0");
    shop.done(Command::Return(PutReturn { status: Some("rejected".to_owned()), ..blind })).await;
    assert_eq!(level(&shop, "s1", "a").await, "10 0 0 0");
    // Broken: it came back, and is no stock.
    shop.put(order("1")).await;
    let mut broken = giving_back("r1", "1", &[(1, "1")]);
    broken.lines[0].restock = Some(false);
    shop.done(Command::Return(broken.clone())).await;
    assert_eq!(level(&shop, "s1", "a").await, "8 0 0 0");
    broken.lines[0].restock = Some(true);
    shop.done(Command::Return(broken)).await;
    assert_eq!(level(&shop, "s1", "a").await, "9 0 0 0");
    // All came back: the order is a returned one, and what it took stays taken but for what was restocked.
    shop.done(Command::Return(giving_back("r2", "1", &[(1, "1"), (2, "1")]))).await;
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("10 0 0 0".into(), "10 0 0 0".into()));
    shop.check_books().await;
}

async fn the_last_pieces_go_to_as_many_as_there_are(version: Version) {
    let shop = stocked(version).await;
    let tries = (0..16).map(|_| {
        let shop = shop.oltp.clone();
        tokio::spawn(async move {
            let done = act(&shop, Command::StockReserve(reserve("s1", &[("a", "3"), ("b", "1")], None))).await;
            done.map(|done| done.id).map_err(|error| error.code())
        })
    });
    let mut held = HashSet::new();
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(id) => assert!(held.insert(id)),
            Err(code) => assert_eq!(code, "oltp.insufficient_stock"),
        }
    }
    assert_eq!(held.len(), 3);
    assert_eq!((level(&shop, "s1", "a").await, level(&shop, "s1", "b").await), ("10 9 0 0".into(), "10 3 0 0".into()));
    shop.check_books().await;
}
