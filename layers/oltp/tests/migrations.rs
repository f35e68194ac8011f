use crate::shop::Shop;
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{Layer, Tokeniser};
use oltp::{Config, MIGRATIONS, Migration, Oltp};
use runtime::Telemetry;
use std::collections::HashSet;
use std::time::Duration;

crate::on_both!(
    processes_that_start_together_migrate_once,
    a_schema_of_another_program_is_refused,
    what_is_pending_is_told_before_it_is_done,
    a_migration_lets_traffic_through,
    an_index_is_built_beside_writers,
);

async fn processes_that_start_together_migrate_once(version: Version) {
    let pg = fresh_database(version).await.unwrap();
    let open = || {
        let meter = Telemetry::default().meter(Layer::Oltp);
        Oltp::new(&Config::default(), pg.clone(), Tokeniser::new(b"test"), meter).unwrap()
    };
    let starts: Vec<_> = (0..4).map(|_| open()).map(|oltp| tokio::spawn(async move { oltp.migrate().await })).collect();
    let (mut applied, mut stores, mut newest) = (Vec::new(), HashSet::new(), 0);
    for start in starts {
        let report = start.await.unwrap().unwrap();
        newest = report.version;
        stores.insert(report.deployment);
        applied.extend(report.applied);
    }
    assert_eq!(applied, (1..=newest).collect::<Vec<_>>());
    // The store is the same one for all of them, and stays it.
    stores.insert(open().migrate().await.unwrap().deployment);
    assert_eq!(stores.len(), 1);
    let other = Shop::empty(version).await.migrate().await.unwrap().deployment;
    assert!(!stores.contains(&other), "another store has the same id");
}

async fn a_schema_of_another_program_is_refused(version: Version) {
    let shop = Shop::empty(version).await;
    let outside = connect(&shop.pg).await.unwrap();
    outside.execute("update storewide.migration set checksum = 'x' where version = 2", &[]).await.unwrap();
    let error = shop.migrate().await.unwrap_err().to_string();
    assert!(error.contains("migration 2 (records) was changed"), "{error}");
    outside.execute("delete from storewide.migration where version = 2", &[]).await.unwrap();
    assert!(shop.migrate().await.is_err(), "a hole in the book");
    let newer = Shop::empty(version).await;
    let outside = connect(&newer.pg).await.unwrap();
    let later = "insert into storewide.migration select max(version) + 1, 'later', 'x' from storewide.migration";
    outside.execute(later, &[]).await.unwrap();
    let error = newer.migrate().await.unwrap_err().to_string();
    assert!(error.contains("does not know"), "{error}");
}

async fn what_is_pending_is_told_before_it_is_done(version: Version) {
    let pg = fresh_database(version).await.unwrap();
    let meter = Telemetry::default().meter(Layer::Oltp);
    let oltp = Oltp::new(&Config::default(), pg.clone(), Tokeniser::new(b"test"), meter).unwrap();
    let before = oltp.schema().await.unwrap();
    assert_eq!((before.version, before.deployment), (0, None));
    assert_eq!(
        before.pending.iter().map(|pending| pending.version).collect::<Vec<_>>(),
        (1..=before.program).collect::<Vec<_>>()
    );
    let outside = connect(&pg).await.unwrap();
    let there: bool = outside.query_one("select to_regnamespace('crm') is not null", &[]).await.unwrap().get(0);
    assert!(!there, "looking changed the database");
    oltp.migrate().await.unwrap();
    let after = oltp.schema().await.unwrap();
    assert_eq!((after.version, after.pending.len(), after.deployment.is_some()), (after.program, 0, true));
    let (renewed, recovered) = oltp.renew_deployment().await.unwrap();
    assert_ne!(after.deployment, Some(renewed));
    assert_eq!(recovered, None);
    assert_eq!(oltp.migrate().await.unwrap().deployment, renewed);
}

/// All migrations of the program, and one more.
fn and(sql: &'static str) -> Vec<Migration> {
    let next = MIGRATIONS.len() as i32 + 1;
    MIGRATIONS.into_iter().chain([Migration { version: next, name: "next", sql }]).collect()
}

/// Somebody reads a table for long, a migration has to lock it, and readers who come behind the migration are not kept waiting.
async fn a_migration_lets_traffic_through(version: Version) {
    let shop = Shop::with(version, Config { migration_lock_ms: 100, ..Config::default() }).await;
    let mut outside = connect(&shop.pg).await.unwrap();
    let long = outside.transaction().await.unwrap();
    long.query("select from crm.store", &[]).await.unwrap();
    let list = and("alter table crm.store add column next_on date");
    let migration = tokio::spawn({
        let (oltp, list) = (shop.oltp.clone(), list.clone());
        async move { oltp.migrate_to(&list).await }
    });
    for _ in 0..3 {
        shop.waiting().await;
        let read = tokio::time::timeout(Duration::from_secs(20), shop.value::<i64>("select count(*) from crm.store"));
        assert_eq!(read.await.unwrap(), 0);
    }
    assert!(!migration.is_finished());
    long.commit().await.unwrap();
    let report = migration.await.unwrap().unwrap();
    assert_eq!(report.applied, [list.len() as i32]);
    shop.value::<i64>("select count(next_on) from crm.store").await;
}

async fn an_index_is_built_beside_writers(version: Version) {
    let shop = Shop::open(version).await;
    shop.done(oltp::Command::Store(crate::shop::store("s2"))).await;
    let mut outside = connect(&shop.pg).await.unwrap();
    // What a build that was killed leaves: an index of the name that serves nobody.
    assert!(outside.batch_execute("create unique index concurrently store_region on crm.store (type)").await.is_err());
    let list = and(
        "-- concurrently\n-- For lists by region; and one more.\ncreate index concurrently if not exists store_region on crm.store (region);\n\
        create index concurrently if not exists store_country on crm.store (country_code);",
    );
    // A writer is in the middle of a transaction, and goes on while the index waits for it.
    let writer = outside.transaction().await.unwrap();
    writer.execute("update crm.store set region = 'north'", &[]).await.unwrap();
    let migration = tokio::spawn({
        let (oltp, list) = (shop.oltp.clone(), list.clone());
        async move { oltp.migrate_to(&list).await }
    });
    shop.waiting().await;
    writer.execute("update crm.store set region = 'south'", &[]).await.unwrap();
    writer.commit().await.unwrap();
    migration.await.unwrap().unwrap();
    let valid = "select count(*) from pg_index where indisvalid and not indisunique
        and indexrelid in ('crm.store_region'::regclass, 'crm.store_country'::regclass)";
    assert_eq!(shop.value::<i64>(valid).await, 2);
    assert_eq!(shop.oltp.migrate_to(&list).await.unwrap().applied, Vec::<i32>::new());
}
