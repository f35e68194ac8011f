use crate::shop::Shop;
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::Change;

crate::on_both!(partitions_are_measured_made_and_dropped,);

async fn partitions_are_measured_made_and_dropped(version: Version) {
    let shop = Shop::empty(version).await;
    let outside = connect(&shop.pg).await.unwrap();
    let without =
        "drop function if exists crm.make_partitions(int); drop function if exists crm.drop_partitions(text, int)";
    outside.batch_execute(without).await.unwrap();
    let make = |months| Change::Make { months };
    let drop = |table: &str, keep_months| Change::Drop { table: table.to_owned(), keep_months };
    for change in [make(3), drop("cut", 3)] {
        assert_eq!(shop.change_partitions(&change).await.unwrap_err().code(), "oltp.not_found");
    }
    for change in [make(0), drop("cut", 0), drop("cut", 1_000)] {
        assert_eq!(shop.change_partitions(&change).await.unwrap_err().code(), "oltp.out_of_range");
    }
    let by_month = "create table crm.cut (at date not null) partition by range (at);
        create function crm.make_partitions(ahead int) returns int language plpgsql as $$ begin
            for month in 1 .. ahead loop
                execute format('create table if not exists crm.cut_%s partition of crm.cut for values from (%L) to (%L)', month,
                    make_date(2020, month, 1), make_date(2020, month + 1, 1));
            end loop;
            return ahead;
        end $$;
        create function crm.drop_partitions(ledger text, keep_months int) returns int language plpgsql as $$ begin
            execute format('drop table crm.%I', ledger || '_' || keep_months);
            return 1;
        end $$";
    outside.batch_execute(by_month).await.unwrap();
    assert_eq!(shop.change_partitions(&make(3)).await.unwrap(), 3);
    outside.batch_execute("insert into crm.cut values ('2020-02-03')").await.unwrap();
    let kept = shop.change_partitions(&drop("points_ledger", 3)).await.unwrap_err();
    assert_eq!(kept.code(), "oltp.ledger_kept");
    let cut = async || {
        let all = shop.partition_sizes().await.unwrap();
        all.into_iter().filter(|of| of.table.ends_with("cut")).collect::<Vec<_>>()
    };
    let pieces = cut().await;
    assert_eq!(pieces.len(), 3);
    assert!(pieces[1].partition.ends_with("cut_2") && pieces[1].bounds.contains("2020-02-01"), "{pieces:?}");
    assert!(pieces[1].bytes > pieces[0].bytes, "{pieces:?}");
    assert_eq!(shop.change_partitions(&drop("store", 2)).await.unwrap_err().code(), "oltp.not_found");
    assert_eq!(shop.change_partitions(&drop("cut", 2)).await.unwrap(), 1);
    assert_eq!(cut().await.len(), 2);
}
