use crate::shop::{Shop, context, giving_back, line, order, paid, time};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::command::{PutReturn, RefundValue, ReturnLineValue};
use oltp::{Command, Effect, Entity};
use serde_json::json;

async fn back(shop: &Shop, give: PutReturn) -> Effect {
    shop.done(Command::Return(give)).await.effect
}

crate::on_both!(
    a_return_takes_its_share_back,
    no_more_comes_back_than_was_sold,
    a_rejected_return_gives_everything_back,
    an_order_cannot_shrink_below_what_came_back,
    a_return_stays_with_its_order,
    returns_at_the_same_moment_cannot_share_a_piece,
    an_order_cannot_be_worth_less_than_what_went_back,
    one_number_for_returns_of_two_orders_at_the_same_moment,
    an_order_of_which_all_came_back_is_returned,
    refunds_give_back_no_more_than_was_taken,
    goods_come_back_without_a_receipt,
    an_exchange_names_what_replaces_the_goods,
    the_newest_version_of_a_return_wins,
);

async fn a_return_takes_its_share_back(version: Version) {
    let shop = Shop::open(version).await;
    let mut sold = order("1");
    sold.lines[0].discount_minor = 1;
    sold.lines[0].tax_minor = 7;
    shop.put(sold).await;
    assert_eq!(shop.points("m1").await, 25);
    assert_eq!(back(&shop, giving_back("r1", "1", &[(1, "1")])).await, Effect::Created);
    let kept = shop.get(Entity::RETURN, "till:r1", false).await.unwrap().unwrap();
    // Half of 1999 and of 7: away from zero.
    assert_eq!((&kept["net_minor"], &kept["tax_minor"], &kept["units"]), (&json!(1000), &json!(4), &json!("1")));
    assert_eq!(
        (&kept["order_no"], &kept["member_no"], &kept["lines"][0]["line_no"]),
        (&json!("1"), &json!("m1"), &json!(1))
    );
    assert_eq!(shop.points("m1").await, 15);
    // The last piece takes what is left, to the minor unit.
    assert_eq!(back(&shop, giving_back("r2", "1", &[(1, "1"), (2, "1")])).await, Effect::Created);
    assert_eq!(shop.points("m1").await, 0);
    let left: i64 = shop
        .value(
            "select (sum(o.net_minor) - (select sum(net_minor) from crm.sales_return))::bigint from crm.sales_order o",
        )
        .await;
    assert_eq!(left, 0);
    assert_eq!(back(&shop, giving_back("r2", "1", &[(1, "1"), (2, "1")])).await, Effect::Unchanged);
    shop.check_books().await;
}

async fn no_more_comes_back_than_was_sold(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    back(&shop, giving_back("r1", "1", &[(1, "1.5")])).await;
    let error = shop.refused(Command::Return(giving_back("r2", "1", &[(2, "1"), (1, "0.6")]))).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.over_return", Some("/lines/1/quantity")));
    assert!(error.detail().contains("0.5 pieces"), "{}", error.detail());
    let mut dear = giving_back("r2", "1", &[(1, "0.5")]);
    dear.lines[0].net_minor = Some(501);
    let error = shop.refused(Command::Return(dear)).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.over_return", Some("/lines/0/net_minor")));
    let error = shop.refused(Command::Return(giving_back("r2", "1", &[(7, "1")]))).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.unknown_line", Some("/lines/0/line_no")));
    let error = shop.refused(Command::Return(giving_back("r2", "none", &[(1, "1")]))).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.unknown_order", Some("/order_no")));
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_return").await, 1);
    shop.check_books().await;
}

async fn a_rejected_return_gives_everything_back(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let with = |status: &str, lines: &[(i32, &str)]| PutReturn {
        status: Some(status.to_owned()),
        ..giving_back("r1", "1", lines)
    };
    back(&shop, with("requested", &[(1, "2")])).await;
    assert_eq!(shop.points("m1").await, 25, "what is only asked for takes nothing");
    back(&shop, with("completed", &[(1, "2")])).await;
    assert_eq!(shop.points("m1").await, 5);
    assert_eq!(back(&shop, with("completed", &[(2, "1")])).await, Effect::Updated);
    assert_eq!(shop.points("m1").await, 20);
    back(&shop, with("rejected", &[(2, "1")])).await;
    assert_eq!(shop.points("m1").await, 25);
    back(&shop, giving_back("r2", "1", &[(1, "2"), (2, "1")])).await;
    assert_eq!(shop.points("m1").await, 0);
    shop.check_books().await;
}

async fn an_order_cannot_shrink_below_what_came_back(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    back(&shop, giving_back("r1", "1", &[(1, "2")])).await;
    let mut less = order("1");
    less.lines[0].quantity = 1.into();
    let mut gone = order("1");
    gone.lines = vec![line(2, "b", "1", 550)];
    let mut void = order("1");
    void.lines[0].voided = true;
    for edit in [less, gone, void] {
        let error = shop.refused(Command::Order(edit)).await;
        assert_eq!((error.code(), error.status()), ("oltp.below_returned", 409));
    }
    let mut owner = order("1");
    owner.member_no = Some("m2".to_owned());
    shop.put(owner).await;
    assert_eq!((shop.points("m1").await, shop.points("m2").await), (0, 5));
    shop.check_books().await;
}

async fn an_order_cannot_be_worth_less_than_what_went_back(version: Version) {
    let shop = Shop::open(version).await;
    let mut sold = order("1");
    (sold.lines, sold.payments) = (vec![line(1, "a", "2", 1000)], vec![paid(1, 2000)]);
    shop.put(sold.clone()).await;
    back(&shop, giving_back("r1", "1", &[(1, "2")])).await;
    let mut cheaper = sold.clone();
    cheaper.lines[0].unit_price_minor = Some(500);
    let mut discounted = sold.clone();
    discounted.lines[0].discount_minor = 1;
    for edit in [cheaper, discounted] {
        let error = shop.refused(Command::Order(edit)).await;
        assert_eq!((error.code(), error.status()), ("oltp.below_returned", 409));
    }
    sold.lines[0].unit_price_minor = Some(1500);
    shop.put(sold).await;
    assert_eq!(shop.points("m1").await, 10);
    shop.check_books().await;
}

async fn one_number_for_returns_of_two_orders_at_the_same_moment(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    shop.put(order("2")).await;
    back(&shop, giving_back("r0", "1", &[(1, "1")])).await;
    let mut other = connect(&shop.pg).await.unwrap();
    let other = other.transaction().await.unwrap();
    // All that an update would change is equal.
    let same = "insert into crm.sales_return (return_id, source, return_no, order_id, member_id, store_id, status, business_date,
            returned_at, currency, units, net_minor, tax_minor)
        select gen_random_uuid(), source, 'r1', order_id, member_id, store_id, status, business_date, returned_at, currency, units,
            net_minor, tax_minor
        from crm.sales_return";
    other.execute(same, &[]).await.unwrap();
    let late = tokio::spawn({
        let shop = shop.oltp.clone();
        async move { shop.run(&context(), &Command::Return(giving_back("r1", "2", &[(1, "1")]))).await }
    });
    shop.waiting().await;
    other.commit().await.unwrap();
    assert_eq!(late.await.unwrap().unwrap_err().code(), "oltp.other_order");
}

async fn a_return_stays_with_its_order(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    shop.put(order("2")).await;
    back(&shop, giving_back("r1", "1", &[(1, "1")])).await;
    let error = shop.refused(Command::Return(giving_back("r1", "2", &[(1, "1")]))).await;
    assert_eq!((error.code(), error.status()), ("oltp.other_order", 409));
}

async fn returns_at_the_same_moment_cannot_share_a_piece(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let tries = (0..8).map(|n| {
        let shop = shop.oltp.clone();
        tokio::spawn(async move {
            shop.run(&context(), &Command::Return(giving_back(&format!("r{n}"), "1", &[(1, "1")]))).await
        })
    });
    let mut passed = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) => passed += 1,
            Err(error) => assert_eq!(error.code(), "oltp.over_return"),
        }
    }
    assert_eq!(passed, 2);
    shop.check_books().await;
}

fn refund(number: i32, payment_no: Option<i32>, amount: i64) -> RefundValue {
    RefundValue {
        refund_no: number,
        payment_no,
        tender_type: "card".to_owned(),
        amount_minor: amount,
        ..RefundValue::default()
    }
}

async fn statuses(shop: &Shop, order_no: &str) -> [String; 3] {
    let order = shop.order(order_no).await;
    ["status", "payment_status", "fulfilment_status"].map(|field| order[field].as_str().unwrap().to_owned())
}

async fn an_order_of_which_all_came_back_is_returned(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    back(&shop, giving_back("r1", "1", &[(1, "2")])).await;
    assert_eq!(statuses(&shop, "1").await, ["paid", "paid", "partially_returned"]);
    let mut rest = giving_back("r2", "1", &[(2, "1")]);
    rest.status = Some("requested".to_owned());
    back(&shop, rest.clone()).await;
    assert_eq!(statuses(&shop, "1").await, ["paid", "paid", "partially_returned"]);
    rest.status = None;
    back(&shop, rest.clone()).await;
    assert_eq!(statuses(&shop, "1").await, ["returned", "paid", "returned"]);
    // What the source says of its order does not undo what came back.
    let mut late = order("1");
    late.status = Some("fulfilled".to_owned());
    shop.put(late).await;
    assert_eq!(statuses(&shop, "1").await, ["returned", "paid", "returned"]);
    rest.status = Some("rejected".to_owned());
    back(&shop, rest).await;
    assert_eq!(statuses(&shop, "1").await, ["fulfilled", "paid", "partially_returned"]);
    let types: Vec<String> = shop.value("select array_agg(type order by event_id) from crm.order_event").await;
    assert_eq!(types, ["created", "returned", "edited", "returned", "edited", "edited"]);
    shop.check_books().await;
}

async fn refunds_give_back_no_more_than_was_taken(version: Version) {
    let shop = Shop::open(version).await;
    let mut sold = order("1");
    sold.payments = vec![paid(1, 2000), paid(2, 550)];
    shop.put(sold.clone()).await;
    let mut give = giving_back("r1", "1", &[(2, "1")]);
    for (refunds, code, pointer) in [
        (vec![refund(1, Some(2), 551)], "oltp.over_refund", "/refunds/0/amount_minor"),
        (vec![refund(1, Some(3), 1)], "oltp.unknown_payment", "/refunds/0/payment_no"),
        (vec![refund(1, Some(1), 2000), refund(2, None, 551)], "oltp.over_refund", "/refunds"),
        (vec![refund(1, None, 1), refund(1, None, 1)], "oltp.duplicate_refund", "/refunds/1/refund_no"),
    ] {
        give.refunds = refunds;
        let error = shop.refused(Command::Return(give.clone())).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
    give.refunds = vec![refund(1, Some(2), 550)];
    assert_eq!(back(&shop, give.clone()).await, Effect::Created);
    assert_eq!(back(&shop, give.clone()).await, Effect::Unchanged);
    assert_eq!(statuses(&shop, "1").await[1], "partially_refunded");
    assert_eq!(shop.order("1").await["refunds"][0]["return_no"], "r1");
    // Only money, of a payment that has some left.
    let mut money = PutReturn { refunds: vec![refund(1, Some(2), 1)], ..giving_back("r2", "1", &[]) };
    assert_eq!(shop.refused(Command::Return(money.clone())).await.code(), "oltp.over_refund");
    money.refunds = vec![refund(1, Some(1), 2000)];
    assert_eq!(back(&shop, money.clone()).await, Effect::Created);
    assert_eq!(statuses(&shop, "1").await, ["paid", "refunded", "partially_returned"]);
    let mut less = sold.clone();
    less.payments[0].amount_minor = 1999;
    let error = shop.refused(Command::Order(less)).await;
    assert_eq!((error.code(), error.status()), ("oltp.below_refunded", 409));
    // A refund that the next message no longer has did not happen.
    money.refunds[0].status = Some("failed".to_owned());
    assert_eq!(back(&shop, money).await, Effect::Updated);
    give.refunds.clear();
    assert_eq!(back(&shop, give).await, Effect::Updated);
    assert_eq!(statuses(&shop, "1").await[1], "paid");
    let told: Vec<i64> = shop
        .value("select array_agg(amount_minor order by event_id) from crm.order_event where type = 'refunded'")
        .await;
    assert_eq!(told, [550, 2000, -2000, -550]);
    shop.check_books().await;
}

async fn goods_come_back_without_a_receipt(version: Version) {
    let shop = Shop::open(version).await;
    let mut give = PutReturn {
        source: "till".to_owned(),
        return_no: "b1".to_owned(),
        member_no: Some("m2".to_owned()),
        currency: Some("USD".to_owned()),
        returned_at: time("2026-03-05T10:00:00Z"),
        lines: vec![ReturnLineValue {
            line_no: 1,
            sku_code: Some("a".to_owned()),
            quantity: "0.35".parse().unwrap(),
            net_minor: Some(349),
            restock: Some(false),
            ..ReturnLineValue::default()
        }],
        refunds: vec![refund(1, None, 349)],
        ..PutReturn::default()
    };
    assert_eq!(back(&shop, give.clone()).await, Effect::Created);
    assert_eq!(back(&shop, give.clone()).await, Effect::Unchanged);
    let kept = shop.get(Entity::RETURN, "till:b1", false).await.unwrap().unwrap();
    assert_eq!((&kept["order_no"], &kept["member_no"], &kept["net_minor"]), (&json!(null), &json!("m2"), &json!(349)));
    let line = &kept["lines"][0];
    assert_eq!((&line["sku_code"], &line["quantity"], &line["restock"]), (&json!("a"), &json!("0.35"), &json!(false)));
    assert_eq!(kept["refunds"][0]["amount_minor"], 349);
    let without = |change: &dyn Fn(&mut PutReturn)| {
        let mut other = give.clone();
        other.return_no = "b2".to_owned();
        change(&mut other);
        Command::Return(other)
    };
    for (command, code, pointer) in [
        (without(&|give| give.currency = None), "oltp.missing", "/currency"),
        (without(&|give| give.lines[0].net_minor = None), "oltp.missing", "/lines/0/net_minor"),
        (without(&|give| give.lines[0].sku_code = None), "oltp.missing", "/lines/0/sku_code"),
        (without(&|give| give.lines[0].sku_code = Some("z".to_owned())), "oltp.unknown_sku", "/lines/0/sku_code"),
        (without(&|give| give.member_no = Some("z".to_owned())), "oltp.unknown_member", "/member_no"),
        (without(&|give| give.refunds[0].payment_no = Some(1)), "oltp.invalid_value", "/refunds/0/payment_no"),
    ] {
        let error = shop.refused(command).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
    // It stays without an order.
    shop.put(order("1")).await;
    (give.order_source, give.order_no) = ("till".to_owned(), "1".to_owned());
    (give.lines, give.refunds) = (giving_back("", "", &[(1, "1")]).lines, Vec::new());
    assert_eq!(shop.refused(Command::Return(give)).await.code(), "oltp.other_order");
    shop.check_books().await;
}

async fn an_exchange_names_what_replaces_the_goods(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let mut give = giving_back("r1", "1", &[(1, "1")]);
    give.exchange_order_no = Some("2".to_owned());
    let error = shop.refused(Command::Return(give.clone())).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.unknown_order", Some("/exchange_order_no")));
    shop.put(order("2")).await;
    back(&shop, give).await;
    let kept = shop.get(Entity::RETURN, "till:r1", false).await.unwrap().unwrap();
    assert_eq!(kept["exchange_order_no"], "2");
    assert_eq!(shop.order("1").await["events"][1]["type"], "exchanged");
    shop.check_books().await;
}

async fn the_newest_version_of_a_return_wins(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let at = |version, quantity: &str| PutReturn {
        source_version: Some(version),
        ..giving_back("r1", "1", &[(1, quantity)])
    };
    assert_eq!(back(&shop, at(2, "1")).await, Effect::Created);
    assert_eq!(back(&shop, at(1, "2")).await, Effect::Unchanged);
    assert_eq!(back(&shop, at(2, "2")).await, Effect::Unchanged);
    assert_eq!(back(&shop, at(3, "2")).await, Effect::Updated);
    shop.check_books().await;
}
