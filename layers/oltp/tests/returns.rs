use crate::shop::{Shop, context, giving_back, line, order};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::command::PutReturn;
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
    sold.lines = vec![line(1, "a", "2", 1000)];
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
