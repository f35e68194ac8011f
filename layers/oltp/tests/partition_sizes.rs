use crate::shop::{Shop, order};
use engine_postgres::Version;
use oltp::Change;

crate::on_both!(partitions_are_measured_made_and_dropped,);

async fn partitions_are_measured_made_and_dropped(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    let make = |months| Change::Make { months };
    let drop = |table: &str, keep_months| Change::Drop { table: table.to_owned(), keep_months };
    for change in [make(0), drop("order_event", 0), drop("order_event", 1_000)] {
        assert_eq!(shop.change_partitions(&change).await.unwrap_err().code(), "oltp.out_of_range");
    }
    let events = async || {
        let all = shop.partition_sizes().await.unwrap();
        all.into_iter().filter(|of| of.table.ends_with("order_event")).collect::<Vec<_>>()
    };
    let before = events().await;
    assert!(shop.change_partitions(&make(6)).await.unwrap() > 0);
    assert_eq!(shop.change_partitions(&make(6)).await.unwrap(), 0, "made once");
    let pieces = events().await;
    assert!(pieces.len() > before.len());
    let (empty, full) = (pieces.iter().map(|of| of.bytes).min(), pieces.iter().map(|of| of.bytes).max());
    assert!(full > empty, "{pieces:?}");
    assert_eq!(shop.change_partitions(&drop("points_ledger", 3)).await.unwrap_err().code(), "oltp.ledger_kept");
    assert_eq!(shop.change_partitions(&drop("store", 2)).await.unwrap_err().code(), "oltp.not_found");
    assert_eq!(shop.change_partitions(&drop("order_event", 2)).await.unwrap(), 0, "nothing is so old");
}
