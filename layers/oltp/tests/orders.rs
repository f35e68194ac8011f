use crate::shop::{MORNING, Shop, context, identity, line, order, paid, store, time};
use engine_postgres::Version;
use model::IdentityKind;
use oltp::command::PutOrder;
use oltp::{Command, Effect, Entity};
use serde_json::json;

crate::on_both!(
    an_order_is_kept_whole,
    the_newest_update_wins_whatever_the_order_of_arrival,
    an_edit_touches_only_what_changed,
    points_follow_status_amount_and_owner,
    the_ledger_only_grows,
    a_buyer_is_known_by_an_identity,
    the_business_day_is_the_stores,
    what_an_order_names_must_be_there,
    a_position_is_at_or_behind_the_commit,
    shares_of_the_whole_order_are_kept,
    more_is_not_taken_than_the_order_costs,
    payments_and_goods_say_what_an_order_is,
    the_newest_version_wins_and_an_equal_one_is_no_news,
);

async fn an_order_is_kept_whole(version: Version) {
    let shop = Shop::open(version).await;
    let mut put = order("1");
    put.lines[1].discount_minor = 50;
    put.lines[1].tax_minor = 19;
    put.shipping_minor = 5;
    put.coupon_codes = vec!["SPRING".to_owned()];
    put.payments = vec![paid(1, 2524)];
    let done = shop.put(put.clone()).await;
    assert_eq!((done.effect, done.row_version, done.repeated), (Effect::Created, 1, false));
    let kept = shop.order("1").await;
    for (field, value) in [
        ("units", json!("3")),
        ("gross_minor", json!(2550)),
        ("discount_minor", json!(50)),
        ("net_minor", json!(2500)),
        ("tax_minor", json!(19)),
        ("total_minor", json!(2524)),
        ("status", json!("paid")),
        ("business_date", json!("2026-03-02")),
        ("store_code", json!("s1")),
        ("member_no", json!("m1")),
        ("coupon_codes", json!(["SPRING"])),
    ] {
        assert_eq!(kept[field], value, "{field}");
    }
    assert_eq!(kept["lines"][1]["sku_code"], "b");
    assert_eq!(kept["lines"][0]["quantity"], "2");
    assert_eq!(kept["payments"][0]["amount_minor"], 2524);
    assert_eq!(shop.points("m1").await, 25);
    shop.check_books().await;

    let again = shop.put(put).await;
    assert_eq!((again.effect, again.id, again.row_version), (Effect::Unchanged, done.id, 1));
    assert_eq!(shop.value::<i64>("select count(*) from crm.audit_log where entity = 'order'").await, 1);
}

async fn the_newest_update_wins_whatever_the_order_of_arrival(version: Version) {
    let shop = Shop::open(version).await;
    let at = |text: &str, price| {
        let mut put = order("1");
        put.source_updated_at = Some(time(text));
        put.lines[0].unit_price_minor = Some(price);
        put
    };
    shop.put(at("2026-03-02T10:00:00Z", 1000)).await;
    assert_eq!(shop.put(at("2026-03-02T12:00:00Z", 2000)).await.effect, Effect::Updated);
    assert_eq!(shop.put(at("2026-03-02T11:00:00Z", 3000)).await.effect, Effect::Unchanged);
    assert_eq!(shop.order("1").await["net_minor"], 4550);
    // The same content with a newer time is news: it holds off what comes late.
    assert_eq!(shop.put(at("2026-03-02T14:00:00Z", 2000)).await.effect, Effect::Updated);
    assert_eq!(shop.put(at("2026-03-02T13:00:00Z", 9000)).await.effect, Effect::Unchanged);
    shop.check_books().await;
}

async fn an_edit_touches_only_what_changed(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let before: String = shop.value("select xmin::text from crm.order_line where line_no = 1").await;
    let mut edit = order("1");
    edit.lines[1] = line(3, "c", "1.5", 333);
    edit.payments = vec![paid(2, 2500)];
    let done = shop.put(edit.clone()).await;
    assert_eq!((done.effect, done.row_version), (Effect::Updated, 2));
    let after: String = shop.value("select xmin::text from crm.order_line where line_no = 1").await;
    assert_eq!(before, after, "a line that did not change was written again");
    let kept = shop.order("1").await;
    // 1.5 × 333 = 499.5: half away from zero.
    assert_eq!((kept["net_minor"].as_i64(), kept["units"].as_str()), (Some(2500), Some("3.5")));
    assert_eq!((&kept["lines"][1]["voided"], &kept["lines"][1]["net_minor"]), (&json!(true), &json!(0)));
    assert_eq!((&kept["payments"][0]["status"], &kept["payments"][0]["amount_minor"]), (&json!("voided"), &json!(0)));
    assert_eq!(shop.put(edit).await.effect, Effect::Unchanged);
    shop.check_books().await;
}

async fn points_follow_status_amount_and_owner(version: Version) {
    let shop = Shop::open(version).await;
    let with = |status: &str, member: Option<&str>| PutOrder {
        status: Some(status.to_owned()),
        member_no: member.map(str::to_owned),
        ..order("1")
    };
    for (put, first, second) in [
        (with("pending", Some("m1")), 0, 0),
        (with("paid", Some("m1")), 25, 0),
        (with("cancelled", Some("m1")), 0, 0),
        (with("fulfilled", Some("m2")), 0, 25),
        (with("fulfilled", None), 0, 0),
        (with("partially_fulfilled", Some("m1")), 25, 0),
    ] {
        shop.put(put).await;
        assert_eq!((shop.points("m1").await, shop.points("m2").await), (first, second));
        shop.check_books().await;
    }
    let yen = PutOrder { currency: "JPY".to_owned(), ..order("2") };
    shop.put(yen).await;
    assert_eq!(shop.points("m1").await, 25 + 2550);
}

async fn the_ledger_only_grows(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let client = shop.client().await.unwrap();
    for sql in [
        "update crm.points_ledger set points = 0",
        "delete from crm.points_ledger",
        "delete from crm.audit_log",
        "insert into crm.points_ledger select crm.uuid7(), 1, account_id, null, 'earn', 5, null, null, now() from crm.points_account limit 1",
    ] {
        let code = client.execute(sql, &[]).await.unwrap_err();
        assert_eq!(code.code().map(|state| &state.code()[..2]), Some("23"), "{sql}: {code}");
    }
    shop.check_books().await;
}

async fn a_buyer_is_known_by_an_identity(version: Version) {
    let shop = Shop::open(version).await;
    let bought = |number: &str, kind, value: &str| PutOrder {
        member_no: None,
        buyer: Some(identity(kind, value)),
        ..order(number)
    };
    shop.put(bought("1", IdentityKind::Email, " Ann@Example.com")).await;
    assert_eq!(shop.order("1").await["member_no"], "m1");
    shop.put(bought("2", IdentityKind::Email, "guest@example.com")).await;
    let guest = shop.order("2").await;
    let contact = guest["contact"].as_str().unwrap();
    assert!(contact.starts_with("email:") && contact.len() == 38 && !contact.contains("guest"), "{contact}");
    assert_eq!(guest["member_no"], json!(null));
    shop.put(bought("3", IdentityKind::Anonymous, "visitor-7")).await;
    assert_eq!(shop.order("3").await["anonymous_id"], "visitor-7");
    shop.put(PutOrder { member_no: None, anonymous_id: Some(" visitor-8 ".to_owned()), ..order("4") }).await;
    assert_eq!(shop.order("4").await["anonymous_id"], "visitor-8");
    // The guest joins; the shop sends the order again, and it finds its owner.
    let mut joined = crate::shop::member("m3");
    joined.identities = vec![identity(IdentityKind::Email, "guest@example.com").into()];
    shop.done(Command::Member(joined)).await;
    shop.put(bought("2", IdentityKind::Email, "guest@example.com")).await;
    assert_eq!((&shop.order("2").await["member_no"], shop.points("m3").await), (&json!("m3"), 25));
    shop.check_books().await;
}

async fn the_business_day_is_the_stores(version: Version) {
    let shop = Shop::open(version).await;
    let mut tokyo = store("tokyo");
    tokyo.timezone = Some("Asia/Tokyo".to_owned());
    shop.done(Command::Store(tokyo)).await;
    let mut late = order("1");
    late.store_code = Some("tokyo".to_owned());
    late.placed_at = time("2026-03-02T18:00:00Z");
    shop.put(late.clone()).await;
    assert_eq!(shop.order("1").await["business_date"], "2026-03-03");
    late.order_no = "2".to_owned();
    late.business_date = Some("2026-03-02".parse().unwrap());
    shop.put(late).await;
    assert_eq!(shop.order("2").await["business_date"], "2026-03-02");
}

async fn what_an_order_names_must_be_there(version: Version) {
    let shop = Shop::open(version).await;
    let mut unknown_sku = order("1");
    unknown_sku.lines.push(line(9, "nothing", "1", 1));
    let unknown_store = PutOrder { store_code: Some("x".to_owned()), ..order("2") };
    let unknown_member = PutOrder { member_no: Some("x".to_owned()), ..order("3") };
    for (put, code, pointer) in [
        (unknown_sku, "oltp.unknown_sku", "/lines/2/sku_code"),
        (unknown_store, "oltp.unknown_store", "/store_code"),
        (unknown_member, "oltp.unknown_member", "/member_no"),
    ] {
        let error = shop.refused(Command::Order(put)).await;
        assert_eq!((error.code(), error.pointer(), error.status()), (code, Some(pointer), 422));
    }
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 0);
    assert_eq!(shop.value::<i64>("select count(*) from crm.order_line").await, 0);
}

async fn a_position_is_at_or_behind_the_commit(version: Version) {
    let shop = Shop::open(version).await;
    let (_, position) = shop.run(&context(), &Command::Order(order("1"))).await.unwrap();
    let later = shop.position().await.unwrap();
    let (model::Position::Wal(at), model::Position::Wal(later)) = (position, later) else { panic!("not of the log") };
    assert!(at > 0 && at <= later);
    assert_eq!(MORNING.len(), 20);
    assert!(shop.get(Entity::ORDER, "till:1", false).await.unwrap().is_some());
}

async fn shares_of_the_whole_order_are_kept(version: Version) {
    let shop = Shop::open(version).await;
    let mut put = order("1");
    put.lines = vec![line(1, "a", "0.735", 1990), line(2, "b", "1", 119), line(3, "c", "1", 100)];
    put.lines[2].line_type = Some("gift_card".to_owned());
    put.lines.push(oltp::command::OrderLineValue { line_type: Some("fee".to_owned()), ..line(4, "", "1", 50) });
    (put.order_discount_minor, put.order_tax_minor, put.tax_included) = (100, 10, true);
    put.payments = vec![paid(1, 1632)];
    shop.put(put.clone()).await;
    let kept = shop.order("1").await;
    let of = |field: &str| -> Vec<i64> {
        kept["lines"].as_array().unwrap().iter().map(|l| l[field].as_i64().unwrap()).collect()
    };
    assert_eq!((of("gross_minor").iter().sum::<i64>(), kept["units"].clone()), (1732, json!("2.735")));
    assert_eq!((of("order_discount_minor"), of("tax_minor")), (vec![84, 7, 6, 3], vec![8, 1, 1, 0]));
    assert_eq!((&kept["net_minor"], &kept["total_minor"]), (&json!(1622), &json!(1632)));
    assert_eq!((&kept["lines"][3]["sku_code"], &kept["payment_status"]), (&json!(null), &json!("paid")));
    assert_eq!(shop.put(put).await.effect, Effect::Unchanged);
    shop.check_books().await;
}

async fn more_is_not_taken_than_the_order_costs(version: Version) {
    let shop = Shop::open(version).await;
    let mut put = order("1");
    put.payments = vec![paid(1, 2000), paid(2, 600)];
    let error = shop.refused(Command::Order(put.clone())).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.overpaid", Some("/payments")));
    put.change_minor = 50;
    shop.put(put.clone()).await;
    // Fewer goods: the money is there and will be refunded. More money for them is not taken.
    put.lines[0].quantity = 1.into();
    assert_eq!(shop.put(put.clone()).await.effect, Effect::Updated);
    put.payments.push(paid(3, 1));
    assert_eq!(shop.refused(Command::Order(put)).await.code(), "oltp.overpaid");
    shop.check_books().await;
}

async fn payments_and_goods_say_what_an_order_is(version: Version) {
    let shop = Shop::open(version).await;
    let mut put = order("1");
    put.status = Some("pending".to_owned());
    put.payments = vec![paid(1, 1000), paid(2, 1550)];
    put.payments[1].status = Some("authorised".to_owned());
    put.lines[0].fulfilled_quantity = Some(1.into());
    shop.put(put.clone()).await;
    let now = async || {
        let kept = shop.order("1").await;
        ["status", "payment_status", "fulfilment_status"].map(|field| kept[field].as_str().unwrap().to_owned())
    };
    assert_eq!(now().await, ["pending", "partially_paid", "partially_fulfilled"]);
    put.payments[1].status = None;
    put.lines[0].fulfilled_quantity = Some(2.into());
    put.lines[1].fulfilled_quantity = Some(1.into());
    shop.put(put.clone()).await;
    assert_eq!(now().await, ["pending", "paid", "fulfilled"]);
    // Statuses may be skipped, and come late.
    for status in ["fulfilled", "paid", "cancelled", "partially_fulfilled"] {
        put.status = Some(status.to_owned());
        shop.put(put.clone()).await;
        assert_eq!(now().await, [status, "paid", "fulfilled"]);
    }
    let steps: Vec<String> = shop
        .value("select array_agg(concat_ws(' ', type, from_status, status) order by event_id) from crm.order_event")
        .await;
    assert_eq!(steps[..3], ["created pending", "edited pending", "status_changed pending fulfilled"]);
    assert_eq!(steps.len(), 6);
    let error = shop.value::<Option<String>>("select max(type) from crm.order_event where status = 'returned'").await;
    assert_eq!(error, None);
    shop.check_books().await;
}

async fn the_newest_version_wins_and_an_equal_one_is_no_news(version: Version) {
    let shop = Shop::open(version).await;
    let at = |version, price| {
        let mut put = order("1");
        (put.source_version, put.payments) = (Some(version), Vec::new());
        put.lines[0].unit_price_minor = Some(price);
        put
    };
    assert_eq!(shop.put(at(5, 1000)).await.effect, Effect::Created);
    assert_eq!(shop.put(at(4, 900)).await.effect, Effect::Unchanged);
    assert_eq!(shop.put(at(5, 800)).await.effect, Effect::Unchanged);
    assert_eq!(shop.put(at(6, 700)).await.effect, Effect::Updated);
    assert_eq!(shop.order("1").await["gross_minor"], 1950);
    shop.check_books().await;
}
