use crate::shop::{Shop, order, time};
use engine_postgres::Version;
use oltp::command::{AddressValue, PutOrder, PutOrderAddresses};
use oltp::{Command, Effect, Entity};
use serde_json::{Value, json};

crate::on_both!(
    each_label_is_put_by_itself,
    what_comes_late_changes_nothing,
    whoever_may_not_see_them_does_not,
    addresses_need_their_order,
);

fn address(label: &str, lines: &[&str]) -> AddressValue {
    AddressValue {
        label: label.to_owned(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..AddressValue::default()
    }
}

fn put(order_no: &str, addresses: Vec<AddressValue>, at: Option<&str>) -> Command {
    Command::OrderAddresses(PutOrderAddresses {
        source: "till".to_owned(),
        order_no: order_no.to_owned(),
        addresses,
        source_updated_at: at.map(time),
    })
}

impl Shop {
    /// The addresses of an order, as label and first line.
    async fn addresses(&self, order_no: &str) -> Vec<(Value, Value)> {
        let order = self.get(Entity::ORDER, &format!("till:{order_no}"), true).await.unwrap().unwrap();
        let all = order["addresses"].as_array().unwrap();
        all.iter().map(|one| (one["label"].clone(), one["lines"][0].clone())).collect()
    }
}

async fn each_label_is_put_by_itself(version: Version) {
    let shop = Shop::open(version).await;
    let ordered = shop.put(order("1")).await;
    let both = || put("1", vec![address("shipping", &["1 Main Street"]), address("billing", &["2 Side Street"])], None);
    let done = shop.done(both()).await;
    assert_eq!((done.effect, done.id, done.row_version), (Effect::Created, ordered.id, 1));
    assert_eq!(shop.done(both()).await.effect, Effect::Unchanged);
    let done = shop.done(put("1", vec![address("shipping", &["3 High Street"])], None)).await;
    assert_eq!((done.effect, done.row_version), (Effect::Updated, 2));
    assert_eq!(
        shop.addresses("1").await,
        [(json!("billing"), json!("2 Side Street")), (json!("shipping"), json!("3 High Street"))]
    );
    shop.done(put("1", vec![address("billing", &[])], None)).await;
    assert_eq!(shop.addresses("1").await, [(json!("shipping"), json!("3 High Street"))]);
    // The order itself is as it was, also when it is sent again.
    assert_eq!(shop.put(order("1")).await.effect, Effect::Unchanged);
    assert_eq!(shop.addresses("1").await.len(), 1);
    let twice = put("1", vec![address("shipping", &["x"]), address("shipping", &["y"])], None);
    assert_eq!(shop.refused(twice).await.code(), "oltp.duplicate_label");
    assert_eq!(shop.refused(put("1", Vec::new(), None)).await.code(), "oltp.missing");
}

async fn what_comes_late_changes_nothing(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let at = |line: &str, hour: u8| {
        put("1", vec![address("shipping", &[line])], Some(&format!("2026-03-02T{hour:02}:00:00Z")))
    };
    shop.done(at("first", 10)).await;
    // The same with a newer time is news: it holds off what comes late.
    assert_eq!(shop.done(at("first", 12)).await.effect, Effect::Updated);
    assert_eq!(shop.done(at("between", 11)).await.effect, Effect::Unchanged);
    assert_eq!(shop.addresses("1").await, [(json!("shipping"), json!("first"))]);
    assert_eq!(shop.done(at("last", 13)).await.effect, Effect::Updated);
    assert_eq!(shop.addresses("1").await, [(json!("shipping"), json!("last"))]);
}

async fn whoever_may_not_see_them_does_not(version: Version) {
    let shop = Shop::open(version).await;
    // A guest's are personal, too.
    shop.put(PutOrder { member_no: None, ..order("1") }).await;
    shop.done(put("1", vec![address("shipping", &["1 Zebedee Street"])], None)).await;
    assert!(!shop.order("1").await.to_string().contains("Zebedee"));
    let log: String = shop.value("select jsonb_agg(to_jsonb(l))::text from crm.audit_log l").await;
    assert!(log.contains("order_addresses") && !log.contains("Zebedee"));
    let rows: i64 =
        shop.oltp.client().await.unwrap().query_one("select count(*) from crm.order_pii", &[]).await.unwrap().get(0);
    assert_eq!(rows, 0, "an ordinary statement sees no row");
}

async fn addresses_need_their_order(version: Version) {
    let shop = Shop::open(version).await;
    let refused = shop.refused(put("1", vec![address("shipping", &["x"])], None)).await;
    assert_eq!(refused.code(), "oltp.unknown_order");
    // In one batch, whatever their order is.
    let context = crate::shop::context;
    let items = vec![
        (context(), Command::Order(order("1"))),
        (context(), put("1", vec![address("shipping", &["x"])], None)),
        (context(), put("2", vec![address("shipping", &["x"])], None)),
    ];
    let answers = shop.run_batch(items).await.unwrap().0;
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2].as_ref().unwrap_err().code(), "oltp.unknown_order");
    assert_eq!(shop.addresses("1").await.len(), 1);
}
