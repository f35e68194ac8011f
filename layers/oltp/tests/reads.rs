use crate::shop::{Shop, giving_back, member, order, store, time};
use engine_postgres::Version;
use oltp::command::{PutOrder, PutStore};
use oltp::{Ask, Command, Entity};
use serde_json::json;
use uuid::Uuid;

crate::on_both!(
    pages_follow_each_other_without_gap_or_overlap,
    filters_narrow,
    fields_are_picked,
    columns_sorted_by_are_never_null,
    records_are_found_by_our_id_and_by_theirs,
    numbers_that_look_like_our_ids_are_found,
);

async fn pages_follow_each_other_without_gap_or_overlap(version: Version) {
    let shop = Shop::empty(version).await;
    let put = (0..25).map(|n| {
        let name = format!("Store {}", n % 3);
        (crate::shop::context(), Command::Store(PutStore { name, ..store(&format!("s{n:02}")) }))
    });
    shop.run_batch(put.collect()).await.unwrap();
    // All were made in one transaction: `updated_at` is one moment, and there are three names.
    for sort in ["store_id", "-store_id", "updated_at", "-updated_at", "name", "-name", "store_code"] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("limit", "10"), ("sort", sort)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = shop.page(Entity::STORE, &query).await;
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let texts =
            |name: &str| -> Vec<String> { seen.iter().map(|store| store[name].as_str().unwrap().to_owned()).collect() };
        let (mut sorted, by) = (texts(sort.trim_start_matches('-')), texts(sort.trim_start_matches('-')));
        sorted.sort();
        if sort.starts_with('-') {
            sorted.reverse();
        }
        assert_eq!(by, sorted, "{sort}");
        let mut codes = texts("store_code");
        codes.sort();
        codes.dedup();
        assert_eq!((seen.len(), codes.len()), (25, 25), "{sort}");
    }
    // Of the right form, but with values that the store cannot read.
    let forged = hex::encode(r#"["yesterday","me","store updated_at"]"#);
    let ask = Ask::parse(Entity::STORE, [("sort", "updated_at"), ("cursor", forged.as_str())]).unwrap();
    assert_eq!(shop.list(&ask, false).await.unwrap_err().code(), "oltp.invalid_cursor");
}

async fn filters_narrow(version: Version) {
    let shop = Shop::open(version).await;
    let first = shop.put(order("1")).await.id.to_string();
    let late = PutOrder { placed_at: time("2026-03-02T10:00:00Z"), store_code: None, ..order("2") };
    shop.put(PutOrder { member_no: Some("m2".to_owned()), status: Some("pending".to_owned()), ..late }).await;
    let of_member = shop.page(Entity::ORDER, &[("member", "m1")]).await.items;
    assert_eq!((of_member.len(), &of_member[0]["order_id"]), (1, &json!(first)));
    let member = of_member[0]["member_id"].as_str().unwrap();
    for (query, count) in [
        (vec![], 2),
        (vec![("status", "pending")], 1),
        (vec![("member", member)], 1),
        (vec![("member", "nobody")], 0),
        (vec![("member", "m1"), ("status", "pending")], 0),
        (vec![("store", "s1")], 1),
        (vec![("placed_since", "2026-03-02T10:00:00Z")], 1),
        (vec![("placed_since", "2026-03-02T11:00:00+01:00")], 1),
        (vec![("placed_until", "2026-03-02T10:00:00Z")], 1),
        (vec![("business_date", "2026-03-02")], 2),
        (vec![("updated_since", "2100-01-01T00:00:00Z")], 0),
    ] {
        assert_eq!(shop.page(Entity::ORDER, &query).await.items.len(), count, "{query:?}");
    }
}

async fn fields_are_picked(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let page = shop.page(Entity::ORDER, &[("fields", "order_no,units")]).await;
    assert_eq!(page.items, [json!({"order_no": "1", "units": "3"})]);
    let ask = Ask::parse(Entity::ORDER, [("fields", "order_no,first_name")]).unwrap();
    assert_eq!(shop.list(&ask, true).await.unwrap_err().code(), "oltp.unknown_field");
    let nothing = shop.page(Entity::ORDER, &[("fields", "no_such"), ("member", "nobody")]).await;
    assert!(nothing.items.is_empty() && nothing.next.is_none());
}

async fn records_are_found_by_our_id_and_by_theirs(version: Version) {
    let shop = Shop::open(version).await;
    let id = shop.put(order("1")).await.id;
    for name in [id.to_string().as_str(), "till:1", "1"] {
        assert_eq!(shop.get(Entity::ORDER, name, false).await.unwrap().unwrap()["order_id"], id.to_string(), "{name}");
    }
    shop.put(PutOrder { source: "web".to_owned(), ..order("1") }).await;
    assert!(shop.get(Entity::ORDER, "1", false).await.unwrap().is_none(), "two orders have this number");
    assert!(shop.get(Entity::ORDER, "web:1", false).await.unwrap().is_some());
    for nothing in ["", "x", "till:", ":", "\0", "x".repeat(9999).as_str()] {
        for entity in Entity::ALL {
            assert!(shop.get(entity, nothing, true).await.unwrap().is_none());
        }
    }
}

async fn numbers_that_look_like_our_ids_are_found(version: Version) {
    let shop = Shop::open(version).await;
    let (theirs, number) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    shop.done(Command::Member(member(&theirs))).await;
    let id = shop.put(PutOrder { member_no: Some(theirs.clone()), ..order(&number) }).await.id;
    shop.done(Command::Return(giving_back(&number, &number, &[(1, "1")]))).await;
    for entity in [Entity::ORDER, Entity::RETURN] {
        assert!(shop.get(entity, &number, false).await.unwrap().is_some(), "{}", entity.name);
        assert_eq!(shop.page(entity, &[("member", theirs.as_str())]).await.items.len(), 1, "{}", entity.name);
    }
    // Our own id comes first: the number of another order is the same.
    shop.put(order(&id.to_string())).await;
    let found = shop.get(Entity::ORDER, &id.to_string(), false).await.unwrap().unwrap();
    assert_eq!(found["order_no"].as_str(), Some(number.as_str()));
}

/// A row whose value is null would be on no page but the first.
async fn columns_sorted_by_are_never_null(version: Version) {
    let shop = Shop::empty(version).await;
    for entity in Entity::ALL {
        for (table, column, kind) in entity.order() {
            let sql = format!(
                "select coalesce((select a.attnotnull and a.atttypid = '{kind}'::regtype from pg_attribute a
                    where a.attrelid = '{table}'::regclass and a.attname = '{column}'), false)"
            );
            assert!(shop.value::<bool>(&sql).await, "{table}.{column} is not a {kind} that is never null");
        }
    }
}
