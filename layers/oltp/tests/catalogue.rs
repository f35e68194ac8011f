use crate::shop::{Shop, context, order, product, sku, store, time};
use engine_postgres::Version;
use oltp::command::*;
use oltp::{Command, Effect, Entity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

crate::on_both!(
    categories_move_with_all_below_them,
    any_moves_leave_a_tree,
    products_show_the_names_of_their_codes,
    gtins_belong_to_one_sku_where_they_are_global,
    stores_have_calendars,
    business_days_start_when_the_store_says,
);

fn category(code: &str, parent: Option<&str>) -> Command {
    Command::Category(PutCategory {
        category_code: code.to_owned(),
        name: format!("Category {code}"),
        parent_code: parent.map(str::to_owned),
        ..PutCategory::default()
    })
}

async fn path(shop: &Shop, code: &str) -> Value {
    shop.get(Entity::CATEGORY, code, false).await.unwrap().unwrap()["path"].clone()
}

async fn categories_move_with_all_below_them(version: Version) {
    let shop = Shop::empty(version).await;
    let tree = [
        ("food", None),
        ("drinks", Some("food")),
        ("coffee", Some("drinks")),
        ("beans", Some("coffee")),
        ("home", None),
    ];
    for (code, parent) in tree {
        assert_eq!(shop.done(category(code, parent)).await.effect, Effect::Created);
    }
    assert_eq!(shop.done(category("coffee", Some("drinks"))).await.effect, Effect::Unchanged);
    assert_eq!(path(&shop, "beans").await, json!(["food", "drinks", "coffee", "beans"]));
    let before = shop.get(Entity::CATEGORY, "beans", false).await.unwrap().unwrap();
    assert_eq!(shop.done(category("coffee", Some("home"))).await.effect, Effect::Updated);
    assert_eq!(path(&shop, "beans").await, json!(["home", "coffee", "beans"]));
    let after = shop.get(Entity::CATEGORY, "beans", false).await.unwrap().unwrap();
    assert_eq!(after["row_version"].as_i64().unwrap(), before["row_version"].as_i64().unwrap() + 1);
    assert_eq!(after["parent_code"], "coffee");
    for (code, parent) in [("home", "beans"), ("coffee", "coffee"), ("coffee", "beans")] {
        let error = shop.refused(category(code, Some(parent))).await;
        assert_eq!((error.code(), error.pointer()), ("oltp.category_cycle", Some("/parent_code")), "{code} {parent}");
    }
    assert_eq!(shop.refused(category("x", Some("none"))).await.code(), "oltp.unknown_category");
    let below = shop.page(Entity::CATEGORY, &[("below", "home")]).await;
    assert_eq!(below.items.len(), 3);
    // Sixteen levels, and no way around them: not by a new one, and not by moving a tree below.
    for level in 1..=16 {
        shop.done(category(&format!("l{level}"), (level > 1).then(|| format!("l{}", level - 1)).as_deref())).await;
    }
    assert_eq!(shop.refused(category("l17", Some("l16"))).await.code(), "oltp.category_depth");
    assert_eq!(shop.refused(category("home", Some("l14"))).await.code(), "oltp.category_depth");
    shop.done(category("home", Some("l13"))).await;
    assert_eq!(path(&shop, "beans").await.as_array().unwrap().len(), 16);
    shop.check_books().await;
}

async fn any_moves_leave_a_tree(version: Version) {
    let shop = Shop::empty(version).await;
    let codes: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    for code in &codes {
        shop.done(category(code, None)).await;
    }
    let seed = 7;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (shop, codes) = (shop.oltp.clone(), codes.clone());
            let mut random = StdRng::seed_from_u64(seed * 100 + task);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let code = &codes[random.random_range(0..codes.len())];
                    let parent = random.random_bool(0.8).then(|| codes[random.random_range(0..codes.len())].clone());
                    if let Err(error) = shop.run(&context(), &category(code, parent.as_deref())).await {
                        assert_eq!(error.code(), "oltp.category_cycle", "seed {seed}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    shop.check_books().await;
}

fn brand(code: &str, name: &str) -> Command {
    Command::Brand(PutBrand { brand_code: code.to_owned(), name: name.to_owned(), ..PutBrand::default() })
}

async fn products_show_the_names_of_their_codes(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(brand("n", "National")).await;
    shop.done(category("food", None)).await;
    shop.done(category("coffee", Some("food"))).await;
    let put = PutProduct {
        brand_code: Some("n".to_owned()),
        category_code: Some("coffee".to_owned()),
        season: Some("2026-SS".to_owned()),
        merchandise_hierarchy: vec!["Grocery".to_owned(), "Hot drinks".to_owned()],
        ..product("p")
    };
    assert_eq!(shop.done(Command::Product(put.clone())).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::Product(put.clone())).await.effect, Effect::Unchanged);
    let read = async || {
        let read = shop.get(Entity::PRODUCT, "p", false).await.unwrap().unwrap();
        ["brand", "category", "department"].map(|name| read[name].as_str().unwrap().to_owned())
    };
    assert_eq!(read().await, ["National", "Category coffee", "Category food"]);
    shop.done(brand("n", "Nationwide")).await;
    shop.done(category("home", None)).await;
    shop.done(category("coffee", Some("home"))).await;
    assert_eq!(read().await, ["Nationwide", "Category coffee", "Category home"]);
    // Without codes the texts are the caller's own.
    shop.done(Command::Product(PutProduct { brand: Some("Own".to_owned()), ..product("a") })).await;
    shop.check_books().await;
    for (put, code, pointer) in [
        (PutProduct { brand: Some("B".to_owned()), ..put.clone() }, "oltp.invalid_value", "/brand"),
        (PutProduct { department: Some("D".to_owned()), ..put.clone() }, "oltp.invalid_value", "/department"),
        (PutProduct { brand_code: Some("none".to_owned()), ..put.clone() }, "oltp.unknown_brand", "/brand_code"),
        (PutProduct { category_code: Some("none".to_owned()), ..put }, "oltp.unknown_category", "/category_code"),
    ] {
        let error = shop.refused(Command::Product(put)).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
}

async fn gtins_belong_to_one_sku_where_they_are_global(version: Version) {
    let shop = Shop::open(version).await;
    let with = |code: &str, gtin: Option<&str>, gtins: &[&str]| {
        let gtins = gtins.iter().map(|gtin| (*gtin).to_owned()).collect();
        Command::Sku(PutSku { gtin: gtin.map(str::to_owned), gtins, ..sku(code) })
    };
    assert_eq!(shop.done(with("a", Some("96385074"), &["6291041500213"])).await.effect, Effect::Updated);
    assert_eq!(shop.done(with("a", Some("96385074"), &["6291041500213"])).await.effect, Effect::Unchanged);
    let error = shop.refused(with("b", None, &["06291041500213"])).await;
    assert_eq!((error.code(), error.status()), ("oltp.gtin_taken", 409));
    let found = shop.page(Entity::SKU, &[("gtin", "6291041500213")]).await;
    assert_eq!(found.items[0]["sku_code"], "a");
    // What is weighed in the house is a number of the house: many SKUs may have it.
    shop.done(with("b", Some("0200000000004"), &[])).await;
    shop.done(with("c", Some("0200000000004"), &[])).await;
    // Given up by one, free for another; also where nothing else of the SKU changes.
    assert_eq!(shop.done(with("a", Some("96385074"), &[])).await.effect, Effect::Updated);
    assert_eq!(shop.done(with("d", None, &["6291041500213"])).await.effect, Effect::Updated);
    let batch =
        vec![(context(), with("a", Some("7300011000017"), &[])), (context(), with("b", Some("7300011000017"), &[]))];
    let (outcomes, _) = shop.run_batch(batch).await.unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().code(), "oltp.gtin_taken");
    let error = shop.refused(with("e", None, &["6291041500213", "6291041500214"])).await;
    assert_eq!((error.code(), error.pointer()), ("oltp.invalid_gtin", Some("/gtins/1")));
    let more = PutSku {
        cost_minor: Some(5),
        currency: Some("USD".to_owned()),
        tax_class: Some("reduced".to_owned()),
        variant_attributes: json!({"size": "M"}).as_object().unwrap().clone(),
        ..sku("e")
    };
    shop.done(Command::Sku(more)).await;
    let read = shop.get(Entity::SKU, "e", false).await.unwrap().unwrap();
    assert_eq!((&read["cost_minor"], &read["variant_attributes"]["size"]), (&json!(5), &json!("M")));
    shop.check_books().await;
}

async fn stores_have_calendars(version: Version) {
    let shop = Shop::empty(version).await;
    let hours = |weekday, opens: &str, closes: &str| HoursValue {
        weekday,
        opens: opens.parse().unwrap(),
        closes: closes.parse().unwrap(),
    };
    let day = |day: &str, span: Option<(&str, &str)>| StoreDayValue {
        day: day.parse().unwrap(),
        opens: span.map(|(opens, _)| opens.parse().unwrap()),
        closes: span.map(|(_, closes)| closes.parse().unwrap()),
        name: None,
    };
    let bar = PutStore {
        timezone: Some("Europe/Berlin".to_owned()),
        gln: Some("4012345000009".to_owned()),
        opened_on: Some("2020-01-01".parse().unwrap()),
        hours: vec![
            hours(5, "12:00:00", "14:00:00"),
            hours(5, "18:00:00", "02:00:00"),
            hours(6, "18:00:00", "02:00:00"),
        ],
        exceptions: vec![day("2026-01-10", None), day("2026-01-11", Some(("10:00:00", "12:00:00")))],
        ..store("bar")
    };
    assert_eq!(shop.done(Command::Store(bar.clone())).await.effect, Effect::Created);
    assert_eq!(shop.done(Command::Store(bar.clone())).await.effect, Effect::Unchanged);
    // 2026-01-09 is a Friday; Berlin is one hour ahead of UTC.
    for (at, open) in [
        ("2026-01-09T10:59:59Z", false),
        ("2026-01-09T11:00:00Z", true),
        ("2026-01-09T13:00:00Z", false),
        ("2026-01-09T23:30:00Z", true),
        ("2026-01-10T00:59:59Z", true),
        ("2026-01-10T01:00:00Z", false),
        ("2026-01-10T20:00:00Z", false),
        ("2026-01-11T09:30:00Z", true),
        ("2026-01-11T00:30:00Z", false),
        ("2019-12-27T12:00:00Z", false),
    ] {
        let sql = format!("select crm.store_open(s, '{at}') from crm.store s");
        assert_eq!(shop.value::<bool>(&sql).await, open, "{at}");
    }
    // The calendar alone changed.
    let shorter = PutStore { exceptions: vec![], ..bar.clone() };
    let done = shop.done(Command::Store(shorter)).await;
    assert_eq!((done.effect, done.row_version), (Effect::Updated, 2));
    let read = shop.get(Entity::STORE, "bar", false).await.unwrap().unwrap();
    assert_eq!((read["hours"].as_array().unwrap().len(), read["exceptions"].as_array().unwrap().len()), (3, 0));
    let error = shop.refused(Command::Store(PutStore { gln: bar.gln.clone(), ..store("other") })).await;
    assert_eq!(error.code(), "oltp.gln_taken");
    let crossed = vec![hours(1, "09:00:00", "13:00:00"), hours(1, "12:59:00", "18:00:00")];
    for (put, code, pointer) in [
        (PutStore { gln: Some("4012345000008".to_owned()), ..bar.clone() }, "oltp.invalid_gln", "/gln"),
        (PutStore { closed_on: Some("2019-12-31".parse().unwrap()), ..bar.clone() }, "oltp.out_of_range", "/closed_on"),
        (PutStore { hours: crossed, ..bar.clone() }, "oltp.overlapping_hours", "/hours/1/opens"),
        (
            PutStore { hours: vec![hours(8, "09:00:00", "13:00:00")], ..bar.clone() },
            "oltp.out_of_range",
            "/hours/0/weekday",
        ),
        (PutStore { day_starts_at: Some("12:00:00".parse().unwrap()), ..bar }, "oltp.out_of_range", "/day_starts_at"),
    ] {
        let error = shop.refused(Command::Store(put)).await;
        assert_eq!((error.code(), error.pointer()), (code, Some(pointer)));
    }
}

async fn business_days_start_when_the_store_says(version: Version) {
    let shop = Shop::open(version).await;
    let late = PutStore {
        timezone: Some("America/New_York".to_owned()),
        day_starts_at: Some("04:00:00".parse().unwrap()),
        ..store("s1")
    };
    shop.done(Command::Store(late)).await;
    // 2026-03-08: New York goes from 02:00 to 03:00.
    for (at, day) in [
        ("2026-03-07T08:59:59Z", "2026-03-06"),
        ("2026-03-07T09:00:00Z", "2026-03-07"),
        ("2026-03-08T07:59:59Z", "2026-03-07"),
        ("2026-03-08T08:00:00Z", "2026-03-08"),
    ] {
        let sql = format!("select crm.business_day(s, '{at}')::text from crm.store s where s.store_code = 's1'");
        assert_eq!(shop.value::<String>(&sql).await, day, "{at}");
    }
    shop.put(PutOrder { placed_at: time("2026-03-08T07:59:59Z"), ..order("0") }).await;
    assert_eq!(shop.order("0").await["business_date"], "2026-03-07");
    // An order without a store has the day of UTC.
    shop.put(PutOrder { store_code: None, placed_at: time("2026-03-07T00:30:00Z"), ..order("1") }).await;
    assert_eq!(shop.order("1").await["business_date"], "2026-03-07");
}
