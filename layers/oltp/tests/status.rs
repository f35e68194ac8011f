use crate::shop::{Shop, order, store};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::command::PutOrder;
use oltp::{Command, Config};
use std::time::Duration;

crate::on_both!(
    an_operator_sees_what_is_wrong,
    slow_statements_are_kept_by_name,
    sessions_work_under_limits,
    reading_whole_tables_has_no_limit,
    vacuum_is_told_of,
);

async fn an_operator_sees_what_is_wrong(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(Command::Store(store("s2"))).await;
    let mut outside = connect(&shop.pg).await.unwrap();
    let well = shop.status().await.unwrap();
    assert_eq!(well.findings, Vec::<String>::new());
    assert_eq!((well.schema.version, well.schema.pending.len()), (well.schema.program, 0));
    assert!(well.server.major >= 15 && well.server.version.starts_with(&well.server.major.to_string()));
    assert!(well.server.tables.iter().any(|table| table.table == "crm.sales_order" && table.bytes > Some(0)));
    assert!(well.wal_bytes.unwrap() > 0 && well.position.starts_with("w-") && well.pool.open > 0);
    assert_eq!((well.server.archive.mode.as_str(), well.archived_to), ("off", None));

    // Two stores of one type: the index cannot be, and its torn form stays.
    let torn = outside.batch_execute("create unique index concurrently torn on crm.store (type)").await;
    assert!(torn.is_err());
    let lock = outside.transaction().await.unwrap();
    lock.batch_execute("lock table crm.store").await.unwrap();
    let other = connect(&shop.pg).await.unwrap();
    let waiting = tokio::spawn(async move { other.query("select from crm.store", &[]).await });
    let pid = shop.waiting().await;
    let status = shop.status().await.unwrap();
    let [wait] = status.server.lock_waits.as_slice() else { panic!("{:?}", status.server.lock_waits) };
    assert_eq!((wait.pid, wait.waits_for.trim_start_matches("crm."), wait.blocked_by.len()), (pid, "store", 1));
    assert_eq!(status.server.invalid_indexes.len(), 1, "{:?}", status.server.invalid_indexes);
    assert!(status.findings.iter().any(|text| text.contains("torn")), "{:?}", status.findings);
    lock.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

async fn slow_statements_are_kept_by_name(version: Version) {
    let config = Config { slow_ms: 1, lock_timeout_ms: 50, ..Config::default() };
    let shop = Shop::with(version, config).await;
    shop.furnish().await;
    shop.put(order("secret-number")).await;
    let mut outside = connect(&shop.pg).await.unwrap();
    let lock = outside.transaction().await.unwrap();
    lock.execute("select from crm.sales_order for update", &[]).await.unwrap();
    let changed = PutOrder { shipping_minor: 1, ..order("secret-number") };
    assert_eq!(shop.refused(Command::Order(changed)).await.code(), "oltp.unavailable");
    let slow = shop.status().await.unwrap().slow;
    let failed = slow.iter().find(|slow| slow.failure.is_some()).unwrap();
    assert_eq!((failed.statement.as_str(), failed.failure.as_deref()), ("run", Some("55P03")));
    assert!(failed.ms >= 50, "{failed:?}");
    assert!(slow.iter().any(|slow| slow.statement == "run" && slow.failure.is_none() && slow.rows == 1), "{slow:?}");
    assert!(!serde_json::to_string(&slow).unwrap().contains("secret"));
}

async fn sessions_work_under_limits(version: Version) {
    let limits = Config { idle_in_transaction_timeout_ms: 4_321, transaction_timeout_ms: 7_654, ..Config::default() };
    let shop = Shop::with(version, limits).await;
    let sql = "select name, setting from pg_settings
        where name in ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout', 'transaction_timeout') order by 1";
    let rows = shop.client().await.unwrap().query(sql, &[]).await.unwrap();
    let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
    let newer = shop.status().await.unwrap().server.major >= 17;
    assert_eq!(values[..3], ["4321", "10000", "30000"]);
    assert_eq!(values.get(3).copied(), newer.then_some("7654"));
}

/// An audit reads as long as it takes.
async fn reading_whole_tables_has_no_limit(version: Version) {
    let limits = Config {
        statement_timeout_ms: 200,
        idle_in_transaction_timeout_ms: 200,
        transaction_timeout_ms: 200,
        ..Config::default()
    };
    let shop = Shop::with(version, Config::default()).await;
    let strict = oltp::Oltp::new(
        &limits,
        shop.pg.clone(),
        model::Tokeniser::new(b"test"),
        runtime::Telemetry::default().meter(model::Layer::Oltp),
    );
    let slowly = "select g.n::int8, 'x'::text, null::text from generate_series(1, 2) g(n), lateral (select pg_sleep(0.2 + 0 * g.n)) s";
    let mut rows = 0;
    strict
        .unwrap()
        .read_whole(slowly, |_, _, _| {
            std::thread::sleep(Duration::from_millis(150));
            rows += 1;
        })
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

async fn vacuum_is_told_of(version: Version) {
    let shop = Shop::open(version).await;
    let outside = connect(&shop.pg).await.unwrap();
    outside.batch_execute("alter table crm.store set (autovacuum_enabled = off)").await.unwrap();
    let report = shop.vacuum_report().await.unwrap();
    let of = |name: &str| report.iter().find(|table| table.table == name).unwrap();
    assert!(of("crm.store").advice.as_deref().unwrap().contains("reset (autovacuum_enabled)"));
    assert_eq!((of("crm.sku").advice.as_deref(), of("crm.sku").autovacuum_off), (None, false));
    assert!(of("crm.sku").frozen_xid_age >= 0 && of("crm.sku").bloat_bytes >= 0);
}
