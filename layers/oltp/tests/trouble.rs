//! Bad input and bad times.

use crate::shop::{Shop, context, identity, keyed, line, member, order, paid, product, sku, store, time};
use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Version};
use model::{IdentityKind, Layer, Tokeniser};
use oltp::command::PutOrder;
use oltp::{Command, Config, Context, Effect, Oltp, OltpError};
use runtime::Telemetry;
use serde_json::json;

fn bad_orders() -> Vec<(&'static str, &'static str, PutOrder)> {
    let with = |change: &dyn Fn(&mut PutOrder)| {
        let mut put = order("bad");
        change(&mut put);
        put
    };
    let deep = |change: &dyn Fn(&mut oltp::command::OrderLineValue)| with(&|put| change(&mut put.lines[1]));
    vec![
        ("oltp.missing", "/order_no", with(&|put| put.order_no = " ".to_owned())),
        ("oltp.invalid_text", "/order_no", with(&|put| put.order_no = "x".repeat(129))),
        ("oltp.invalid_text", "/order_no", with(&|put| put.order_no = "a\0b".to_owned())),
        ("oltp.invalid_text", "/source", with(&|put| put.source = "a:b".to_owned())),
        ("oltp.invalid_value", "/channel", with(&|put| put.channel = "fax".to_owned())),
        ("oltp.invalid_value", "/currency", with(&|put| put.currency = "usd".to_owned())),
        ("oltp.invalid_value", "/status", with(&|put| put.status = Some("?".to_owned()))),
        ("oltp.out_of_range", "/placed_at", with(&|put| put.placed_at = time("2999-01-01T00:00:00Z"))),
        ("oltp.out_of_range", "/placed_at", with(&|put| put.placed_at = time("1969-12-31T23:59:59Z"))),
        (
            "oltp.out_of_range",
            "/source_updated_at",
            with(&|put| put.source_updated_at = Some(time("2999-01-01T00:00:00Z"))),
        ),
        ("oltp.out_of_range", "/business_date", with(&|put| put.business_date = Some("9999-01-01".parse().unwrap()))),
        ("oltp.out_of_range", "/shipping_minor", with(&|put| put.shipping_minor = i64::MIN)),
        ("oltp.invalid_count", "/lines", with(&|put| put.lines.clear())),
        ("oltp.invalid_count", "/lines", with(&|put| put.lines = (1..=1001).map(|n| line(n, "a", "1", 1)).collect())),
        ("oltp.invalid_count", "/payments", with(&|put| put.payments = (1..=101).map(|n| paid(n, 1)).collect())),
        ("oltp.duplicate_line", "/lines/1/line_no", deep(&|line| line.line_no = 1)),
        ("oltp.out_of_range", "/lines/1/line_no", deep(&|line| line.line_no = 0)),
        ("oltp.out_of_range", "/lines/1/quantity", deep(&|line| line.quantity = (-1).into())),
        ("oltp.out_of_range", "/lines/1/quantity", deep(&|line| line.quantity = "0.00001".parse().unwrap())),
        ("oltp.out_of_range", "/lines/1/quantity", deep(&|line| line.quantity = "1000000000001".parse().unwrap())),
        ("oltp.out_of_range", "/lines/1/unit_price_minor", deep(&|line| line.unit_price_minor = Some(-1))),
        (
            "oltp.out_of_range",
            "/lines/1/unit_price_minor",
            deep(&|line| {
                (line.unit_price_minor, line.quantity) = (Some(1_000_000_000_000_000), 2.into());
            }),
        ),
        ("oltp.out_of_range", "/lines/1/gross_minor", deep(&|line| line.gross_minor = Some(i64::MAX))),
        ("oltp.out_of_range", "/lines/1/tax_minor", deep(&|line| line.tax_minor = i64::MIN)),
        ("oltp.missing", "/lines/1/unit_price_minor", deep(&|line| line.unit_price_minor = None)),
        ("oltp.discount_over_gross", "/lines/1/discount_minor", deep(&|line| line.discount_minor = 551)),
        ("oltp.out_of_range", "/payments/0/amount_minor", with(&|put| put.payments[0].amount_minor = -1)),
        ("oltp.invalid_value", "/payments/0/tender_type", with(&|put| put.payments[0].tender_type = "gold".to_owned())),
        ("oltp.invalid_identity", "/anonymous_id", with(&|put| put.anonymous_id = Some(String::new()))),
        ("oltp.invalid_identity", "/anonymous_id", with(&|put| put.anonymous_id = Some("  ".to_owned()))),
        ("oltp.invalid_identity", "/buyer/value", with(&|put| put.buyer = Some(identity(IdentityKind::Email, "ann")))),
    ]
}

crate::on_both!(
    bad_orders_are_told_what_is_wrong_and_where,
    other_bad_commands_too,
    the_largest_order_fits,
    the_database_may_restart_at_any_time,
    what_may_be_written_already_is_repeated_only_with_a_key,
);

async fn bad_orders_are_told_what_is_wrong_and_where(version: Version) {
    let shop = Shop::open(version).await;
    for (code, pointer, put) in bad_orders() {
        let error = shop.refused(Command::Order(put)).await;
        assert_eq!((error.code(), error.pointer(), error.status()), (code, Some(pointer), 422), "{error}");
    }
    assert_eq!(shop.value::<i64>("select count(*) from crm.sales_order").await, 0);
}

async fn other_bad_commands_too(version: Version) {
    let shop = Shop::open(version).await;
    let (mut zone, mut country, mut nul, mut deep) = (store("x"), store("x"), product("x"), product("x"));
    zone.timezone = Some("Mars/Olympus".to_owned());
    country.country_code = Some("usa".to_owned());
    nul.attributes.insert("k".to_owned(), json!(["\0"]));
    let nest = (0..20).fold(json!(1), |inner, _| json!([inner]));
    deep.attributes.insert("k".to_owned(), nest);
    let (mut gtin, mut price) = (sku("a"), sku("a"));
    gtin.gtin = Some("96385075".to_owned());
    price.list_price_minor = Some(1);
    let (mut born, mut phone) = (member("x"), member("x"));
    born.birth_date = Some("2999-01-01".parse().unwrap());
    phone.identities = vec![identity(IdentityKind::Phone, "12").into()];
    for (code, pointer, command) in [
        ("oltp.unknown_timezone", "/timezone", Command::Store(zone)),
        ("oltp.invalid_value", "/country_code", Command::Store(country)),
        ("oltp.invalid_attributes", "/attributes", Command::Product(nul)),
        ("oltp.invalid_attributes", "/attributes", Command::Product(deep)),
        ("oltp.invalid_gtin", "/gtin", Command::Sku(gtin)),
        ("oltp.missing", "/currency", Command::Sku(price)),
        ("oltp.out_of_range", "/birth_date", Command::Member(born)),
        ("oltp.invalid_identity", "/identities/0/value", Command::Member(phone)),
    ] {
        let error = shop.refused(command).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)), "{error}");
    }
    let strange = Context { idempotency_key: Some(String::new()), ..context() };
    assert_eq!(shop.run(&strange, &Command::Order(order("1"))).await.unwrap_err().code(), "oltp.invalid_context");
}

async fn the_largest_order_fits(version: Version) {
    let shop = Shop::open(version).await;
    let mut put = order("1");
    put.lines = (1..=1000).map(|n| line(n, "a", "0.9999", 0)).collect();
    for line in &mut put.lines {
        line.gross_minor = Some(1_000_000_000_000_000);
        line.tax_minor = 1_000_000_000_000_000;
    }
    shop.put(put).await;
    assert_eq!(shop.order("1").await["total_minor"].as_i64(), Some(2_000_000_000_000_000_000));
    shop.check_books().await;
}

/// A write whose connection ends while it is under way; the store it went to, once the way is free again, and what became of it.
async fn cut_off(version: Version, who: Context) -> (Shop, Result<Effect, OltpError>) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let mut outside = connect(&shop.pg).await.unwrap();
    let lock = outside.transaction().await.unwrap();
    lock.execute("select from crm.sales_order for update", &[]).await.unwrap();
    let write = tokio::spawn({
        let shop = shop.oltp.clone();
        let first = PutOrder { shipping_minor: 1, ..order("1") };
        async move { shop.run(&who, &Command::Order(first)).await.map(|(done, _)| done.effect) }
    });
    let pid = shop.waiting().await;
    lock.execute("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
    lock.commit().await.unwrap();
    let outcome = write.await.unwrap();
    (shop, outcome)
}

async fn what_may_be_written_already_is_repeated_only_with_a_key(version: Version) {
    let (shop, outcome) = cut_off(version, context()).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.status(), error.retry()), (503, true));
    assert!(error.detail().contains("retry"), "{}", error.detail());
    assert_eq!(shop.order("1").await["shipping_minor"], 0);
    let (shop, outcome) = cut_off(version, keyed("k")).await;
    assert_eq!(outcome, Ok(Effect::Updated));
    assert_eq!(shop.order("1").await["shipping_minor"], 1);
}

async fn the_database_may_restart_at_any_time(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let meter = Telemetry::default().meter(Layer::Oltp);
    let watch = tokio::spawn({
        let (cluster, meter, stop) = ((*cluster).clone(), meter.clone(), stop.clone());
        async move { cluster.supervise(meter, stop).await }
    });
    let config = Config { retries_max: 20, ..Config::default() };
    let oltp = Oltp::new(&config, cluster.config(), Tokeniser::new(b"test"), meter).unwrap();
    oltp.migrate().await.unwrap();
    oltp.run(&keyed("p"), &Command::Product(product("a"))).await.unwrap();
    oltp.run(&keyed("s"), &Command::Sku(sku("a"))).await.unwrap();
    let (written, mut progress) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn({
        let oltp = oltp.clone();
        async move {
            for n in 1..=300 {
                let mut put = order(&n.to_string());
                (put.store_code, put.member_no, put.lines) = (None, None, vec![line(1, "a", "1", 100)]);
                put.payments.clear();
                oltp.run(&keyed(&n.to_string()), &Command::Order(put)).await.unwrap();
                written.send_replace(n);
            }
        }
    });
    for moment in [80, 190] {
        progress.wait_for(|written| *written >= moment).await.unwrap();
        let pid = cluster.pid().unwrap();
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
    }
    writer.await.unwrap();
    let page = oltp.list(&oltp::Ask::parse(oltp::Entity::ORDER, [("limit", "400")]).unwrap(), false).await.unwrap();
    assert_eq!(page.items.len(), 300);
    let again = oltp.run(&context(), &Command::Product(product("a"))).await.unwrap().0;
    assert_eq!(again.effect, Effect::Unchanged);
    stop.cancel();
    watch.await.unwrap().unwrap();
}
