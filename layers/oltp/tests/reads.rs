use crate::shop::{Shop, giving_back, member, order, store, time};
use engine_postgres::Version;
use oltp::command::PutOrder;
use oltp::{Command, Entity, Filter};
use uuid::Uuid;

crate::on_both!(
    pages_follow_each_other_without_gap_or_overlap,
    filters_narrow,
    records_are_found_by_our_id_and_by_theirs,
    numbers_that_look_like_our_ids_are_found,
    a_status_that_there_is_not_is_refused,
);

async fn pages_follow_each_other_without_gap_or_overlap(version: Version) {
    let shop = Shop::empty(version).await;
    let put = (0..25).map(|n| (crate::shop::context(), Command::Store(store(&format!("s{n:02}"))))).collect();
    shop.run_batch(put).await.unwrap();
    let (mut codes, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = shop.list(Entity::Store, cursor.as_deref(), 10, &Filter::default()).await.unwrap();
        codes.extend(page.items.iter().map(|item| item["store_code"].as_str().unwrap().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 25);
    for bad in ["", "x", "12345", "'; drop table crm.store; --"] {
        let error = shop.list(Entity::Store, Some(bad), 10, &Filter::default()).await.unwrap_err();
        assert_eq!(error.code(), "oltp.invalid_cursor");
    }
}

async fn filters_narrow(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    shop.put(PutOrder { member_no: Some("m2".to_owned()), status: Some("pending".to_owned()), ..order("2") }).await;
    let count = async |filter: Filter| shop.list(Entity::Order, None, 10, &filter).await.unwrap().items.len();
    assert_eq!(count(Filter::default()).await, 2);
    assert_eq!(count(Filter { status: Some("pending".to_owned()), ..Filter::default() }).await, 1);
    assert_eq!(count(Filter { member: Some("m1".to_owned()), ..Filter::default() }).await, 1);
    assert_eq!(count(Filter { member: Some("nobody".to_owned()), ..Filter::default() }).await, 0);
    assert_eq!(count(Filter { updated_since: Some(time("2100-01-01T00:00:00Z")), ..Filter::default() }).await, 0);
    for entity in Entity::ALL {
        shop.list(entity, None, 0, &Filter::default()).await.unwrap();
    }
}

async fn records_are_found_by_our_id_and_by_theirs(version: Version) {
    let shop = Shop::open(version).await;
    let id = shop.put(order("1")).await.id;
    for name in [id.to_string().as_str(), "till:1", "1"] {
        assert_eq!(shop.get(Entity::Order, name, false).await.unwrap().unwrap()["order_id"], id.to_string(), "{name}");
    }
    shop.put(PutOrder { source: "web".to_owned(), ..order("1") }).await;
    assert!(shop.get(Entity::Order, "1", false).await.unwrap().is_none(), "two orders have this number");
    assert!(shop.get(Entity::Order, "web:1", false).await.unwrap().is_some());
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
    for entity in [Entity::Order, Entity::Return] {
        assert!(shop.get(entity, &number, false).await.unwrap().is_some(), "{entity:?}");
        let filter = Filter { member: Some(theirs.clone()), ..Filter::default() };
        assert_eq!(shop.list(entity, None, 10, &filter).await.unwrap().items.len(), 1, "{entity:?}");
    }
    // Our own id comes first: the number of another order is the same.
    shop.put(order(&id.to_string())).await;
    let found = shop.get(Entity::Order, &id.to_string(), false).await.unwrap().unwrap();
    assert_eq!(found["order_no"].as_str(), Some(number.as_str()));
}

async fn a_status_that_there_is_not_is_refused(version: Version) {
    let shop = Shop::empty(version).await;
    for entity in Entity::ALL {
        let filter = Filter { status: Some("payed".to_owned()), ..Filter::default() };
        assert_eq!(shop.list(entity, None, 10, &filter).await.unwrap_err().code(), "oltp.invalid_filter", "{entity:?}");
    }
}
