//! Ledgers in partitions by month.

use crate::shop::{Shop, giving_back, order};
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use oltp::{Command, Config, Upkeep};

crate::on_both!(
    partitions_are_made_once_and_ahead,
    old_partitions_are_dropped_and_those_of_points_are_kept,
    what_came_before_its_partition_moves_there,
    ledgers_only_grow_in_every_partition,
    what_was_there_before_is_carried_over,
);

async fn partitions_are_made_once_and_ahead(version: Version) {
    let shop = Shop::with(version, Config { partitions_ahead: 14, ..Config::default() }).await;
    let before = shop.partitions().await.unwrap().len();
    let both = tokio::join!(shop.keep_partitions(), shop.keep_partitions());
    let (one, other) = (both.0.unwrap(), both.1.unwrap());
    let made = one.made + other.made;
    assert!(one.made == 0 || other.made == 0, "one waits for the other");
    let all = shop.partitions().await.unwrap();
    assert_eq!(all.len(), before + made as usize);
    assert_eq!(shop.keep_partitions().await.unwrap(), Upkeep::default());
    for ledger in ["points_ledger", "order_event"] {
        let months: Vec<_> = all.iter().filter(|part| part.ledger == ledger && part.until.is_some()).collect();
        assert!(months.len() >= 15, "{ledger}: {months:?}");
        assert!(months.windows(2).all(|pair| pair[0].until == pair[1].since), "no gap: {months:?}");
        assert!(all.iter().any(|part| part.ledger == ledger && part.until.is_none()), "what fits nowhere has a place");
    }
}

async fn old_partitions_are_dropped_and_those_of_points_are_kept(version: Version) {
    let shop = Shop::with(version, Config { keep_months: Some(2), ..Config::default() }).await;
    shop.furnish().await;
    shop.put(order("1")).await;
    let outside = connect(&shop.pg).await.unwrap();
    let old = "select crm.make_partition(l, l || '_2020_01', crm.uuid_from('2020-01-01'), crm.uuid_from('2020-02-01'))
        from unnest(array['order_event']) l";
    outside.batch_execute(old).await.unwrap();
    let upkeep = shop.keep_partitions().await.unwrap();
    assert_eq!(upkeep.dropped, 1);
    let names: Vec<String> = shop.partitions().await.unwrap().into_iter().map(|partition| partition.name).collect();
    assert!(!names.contains(&"order_event_2020_01".to_owned()), "{names:?}");
    assert!(names.contains(&"points_ledger_before".to_owned()), "{names:?}");
    assert_eq!(shop.value::<i64>("select count(*) from crm.order_event").await, 1);
    shop.check_books().await;
}

/// Nobody made partitions for a while: rows are in the default one until somebody does.
async fn what_came_before_its_partition_moves_there(version: Version) {
    let shop = Shop::open(version).await;
    let outside = connect(&shop.pg).await.unwrap();
    let away = "do $$ declare name text; begin for name in select l.name from crm.ledger_partitions() l
        where l.ledger = 'order_event' and l.until is not null loop execute format('drop table crm.%I', name); end loop; end $$";
    outside.batch_execute(away).await.unwrap();
    shop.put(order("1")).await;
    shop.put(order("2")).await;
    let random = "insert into crm.order_event (event_id, order_id, type, status, payment_status, fulfilment_status, source, occurred_at)
        select 'ffffffff-0000-4000-8000-000000000000', order_id, 'created', status, payment_status, fulfilment_status, source, now()
        from crm.sales_order where order_no = '2'";
    outside.batch_execute(random).await.unwrap();
    assert!(shop.keep_partitions().await.unwrap().made > 0);
    let places = "select array_agg(tableoid::regclass::text ~ '_default$' order by event_id) from crm.order_event";
    assert_eq!(shop.value::<Vec<bool>>(places).await, [false, false, true]);
    shop.put(order("3")).await;
    shop.check_books().await;
}

async fn ledgers_only_grow_in_every_partition(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let outside = connect(&shop.pg).await.unwrap();
    for table in ["order_event", "points_ledger"] {
        let places: Vec<String> =
            shop.value(&format!("select array_agg(distinct tableoid::regclass::text) from crm.{table}")).await;
        for place in places.into_iter().chain([format!("crm.{table}")]) {
            let place = if place.contains('.') { place } else { format!("crm.{place}") };
            for change in [
                format!("update {place} set order_id = order_id"),
                format!("delete from {place}"),
                format!("truncate {place}"),
            ] {
                assert!(outside.batch_execute(&change).await.is_err(), "{change}");
            }
        }
    }
    let half = "insert into crm.points_ledger_default select gen_random_uuid(), 1, account_id, member_id, type, points, order_id,
        return_id, occurred_at from crm.points_ledger limit 1";
    assert!(outside.batch_execute(half).await.is_err(), "an entry that does not sum to zero");
}

/// A store of the first version of the schema, with orders, comes to the newest.
async fn what_was_there_before_is_carried_over(version: Version) {
    let pg = fresh_database(version).await.unwrap();
    let outside = connect(&pg).await.unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files[..5] {
        outside.batch_execute(&std::fs::read_to_string(file).unwrap()).await.unwrap();
    }
    outside.batch_execute(include_str!("old_store.sql")).await.unwrap();
    outside.batch_execute("create schema storewide").await.unwrap();
    outside.batch_execute("create publication storewide for table crm.points_ledger, crm.sales_order").await.unwrap();
    for file in &files[5..13] {
        outside.batch_execute(&std::fs::read_to_string(file).unwrap()).await.unwrap();
    }
    let one = async |sql: &str| outside.query_one(sql, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(
        one("select string_agg(concat_ws(' ', order_no, status, source_status, payment_status, fulfilment_status), ', ' order by order_no)
            from crm.sales_order").await,
        "1 returned paid paid returned, 2 pending pending unpaid unfulfilled"
    );
    assert_eq!(one("select string_agg(tableoid::regclass::text || ' ' || points, ', ' order by entry_id, side) from crm.points_ledger").await,
        "crm.points_ledger_before 10, crm.points_ledger_before -10, crm.points_ledger_default -10, crm.points_ledger_default 10");
    let published = one(
        "select string_agg(prrelid::regclass::text, ', ' order by prrelid::regclass::text) from pg_publication_rel",
    )
    .await;
    assert_eq!(published, "crm.points_ledger, crm.sales_order");
    assert_eq!(one("select concat_ws(' ', line_no, sku_id is not null, restock) from crm.return_line").await, "1 t t");
}

/// A row of a ledger that is there already stays readable where an order is read.
#[tokio::test]
async fn events_are_read_with_their_order() {
    let shop = Shop::open(Version::Wheel18).await;
    shop.put(order("1")).await;
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "1")]))).await;
    let events = &shop.order("1").await["events"];
    let types: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["created", "returned"]);
}
