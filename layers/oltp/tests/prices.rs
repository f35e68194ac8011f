use crate::shop::{Shop, store, time};
use engine_postgres::Version;
use oltp::command::PutPrice;
use oltp::price::Quote;
use oltp::{Command, Effect, Entity};
use serde_json::{Value, json};

crate::on_both!(
    the_price_that_holds_is_found,
    prices_of_a_kind_do_not_overlap,
    prices_that_start_together_do_not_overlap,
);

fn price(code: &str, amount: i64, from: &str, until: Option<&str>) -> PutPrice {
    PutPrice {
        price_code: code.to_owned(),
        sku_code: "a".to_owned(),
        amount_minor: amount,
        currency: "USD".to_owned(),
        valid_from: time(from),
        valid_until: until.map(time),
        ..PutPrice::default()
    }
}

async fn quote(shop: &Shop, store: Option<&str>, channel: Option<&str>, at: &str) -> Value {
    let quote = Quote {
        sku_codes: vec!["a".to_owned()],
        store_code: store.map(str::to_owned),
        channel: channel.map(str::to_owned),
        currency: "USD".to_owned(),
    };
    shop.quote(&quote, time(at)).await.unwrap()[0]["amount_minor"].clone()
}

async fn the_price_that_holds_is_found(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::Store(store("s2"))).await;
    let june = |day: u32| format!("2026-06-{day:02}T00:00:00Z");
    assert_eq!(quote(&shop, None, None, &june(1)).await, Value::Null);
    shop.done(Command::Sku(oltp::command::PutSku {
        list_price_minor: Some(1000),
        currency: Some("USD".to_owned()),
        ..crate::shop::sku("a")
    }))
    .await;
    assert_eq!(quote(&shop, None, None, &june(1)).await, 1000);
    let promo = |code: &str, amount| PutPrice {
        price_type: Some("promo".to_owned()),
        ..price(code, amount, &june(10), Some(&june(20)))
    };
    for put in [
        price("all", 900, &june(2), None),
        PutPrice { channel: Some("ecom".to_owned()), ..price("ecom", 850, &june(2), None) },
        PutPrice { store_code: Some("s1".to_owned()), ..price("s1", 800, &june(2), None) },
        promo("promo", 700),
        PutPrice { store_code: Some("s2".to_owned()), priority: Some(1), ..price("s2", 950, &june(2), None) },
        PutPrice { currency: "EUR".to_owned(), ..price("eur", 1, &june(2), None) },
    ] {
        assert_eq!(shop.done(Command::Price(put)).await.effect, Effect::Created);
    }
    for (store, channel, day, amount) in [
        (None, None, 1, 1000),
        (None, None, 2, 900),
        (None, Some("ecom"), 2, 850),
        (Some("s1"), Some("ecom"), 2, 800),
        (Some("s1"), Some("pos"), 9, 800),
        // A promotion holds from its first moment up to its last, itself excluded.
        (Some("s1"), Some("pos"), 10, 700),
        (Some("s1"), Some("pos"), 20, 800),
        (Some("s2"), Some("pos"), 10, 950),
        (Some("none"), None, 3, 900),
    ] {
        assert_eq!(quote(&shop, store, channel, &june(day)).await, amount, "{store:?} {channel:?} {day}");
    }
    shop.done(Command::Price(PutPrice { withdrawn: Some(true), ..promo("promo", 700) })).await;
    assert_eq!(quote(&shop, Some("s1"), None, &june(10)).await, 800);
    let page = shop.page(Entity::PRICE, &[("sku", "a"), ("valid_at", &june(11)), ("sort", "price_code")]).await;
    let codes: Vec<&str> = page.items.iter().map(|price| price["price_code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["all", "ecom", "eur", "s1", "s2"]);
    assert_eq!(page.items[3]["store_code"], json!("s1"));
    let unknown =
        Quote { sku_codes: vec!["none".to_owned()], store_code: None, channel: None, currency: "USD".to_owned() };
    assert_eq!(shop.quote(&unknown, time(&june(1))).await.unwrap()[0]["known"], false);
    shop.check_books().await;
}

async fn prices_of_a_kind_do_not_overlap(version: Version) {
    let shop = Shop::open(version).await;
    let put = |code: &str, from: &str, until: Option<&str>| Command::Price(price(code, 100, from, until));
    shop.done(put("p", "2026-01-01T00:00:00Z", None)).await;
    let error = shop.refused(put("q", "2026-06-01T00:00:00Z", None)).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.price_overlaps", Some("/valid_from")));
    assert!(error.detail().contains("price p "), "{error}");
    // One ends where the other starts.
    shop.done(put("p", "2026-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z"))).await;
    assert_eq!(shop.done(put("q", "2026-06-01T00:00:00Z", None)).await.effect, Effect::Created);
    assert_eq!(shop.done(put("q", "2026-06-01T00:00:00Z", None)).await.effect, Effect::Unchanged);
    assert_eq!(shop.refused(put("p", "2026-01-01T00:00:00Z", None)).await.code(), "oltp.price_overlaps");
    let other = PutPrice { sku_code: "b".to_owned(), ..price("p", 100, "2026-01-01T00:00:00Z", None) };
    assert_eq!(shop.refused(Command::Price(other)).await.code(), "oltp.other_sku");
    for (put, pointer) in [
        (price("x", -1, "2026-01-01T00:00:00Z", None), "/amount_minor"),
        (price("x", 1, "2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")), "/valid_until"),
        (PutPrice { priority: Some(101), ..price("x", 1, "2026-01-01T00:00:00Z", None) }, "/priority"),
        (
            PutPrice { store_code: Some("none".to_owned()), ..price("x", 1, "2026-01-01T00:00:00Z", None) },
            "/store_code",
        ),
    ] {
        assert_eq!(shop.refused(Command::Price(put)).await.pointer(), Some(pointer));
    }
    // Where everything else fails, the database refuses.
    let twice = "insert into crm.price (price_id, price_code, sku_id, type, amount_minor, currency, valid)
        select gen_random_uuid(), 'twice', sku_id, type, 1, currency, valid from crm.price where price_code = 'q'";
    let outside = engine_postgres::testing::connect(&shop.pg).await.unwrap();
    let error = outside.execute(twice, &[]).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("price_overlaps"));
    shop.check_books().await;
}

async fn prices_that_start_together_do_not_overlap(version: Version) {
    let shop = Shop::open(version).await;
    let puts = (0..8).map(|n| {
        let shop = shop.oltp.clone();
        let put = Command::Price(price(&format!("p{n}"), 100, "2026-01-01T00:00:00Z", None));
        tokio::spawn(async move { shop.run(&crate::shop::context(), &put).await.map_err(|error| error.code()) })
    });
    let mut taken = 0;
    for put in puts.collect::<Vec<_>>() {
        match put.await.unwrap() {
            Ok(_) => taken += 1,
            Err(code) => assert_eq!(code, "oltp.price_overlaps"),
        }
    }
    assert_eq!(taken, 1);
    shop.check_books().await;
}
