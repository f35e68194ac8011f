use crate::shop::{Shop, order, store, time};
use engine_postgres::Version;
use oltp::command::PutOrder;
use oltp::{Command, Entity, Filter};

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let shop = Shop::empty(Version::System).await;
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

#[tokio::test]
async fn filters_narrow() {
    let shop = Shop::open().await;
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

#[tokio::test]
async fn records_are_found_by_our_id_and_by_theirs() {
    let shop = Shop::open().await;
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
