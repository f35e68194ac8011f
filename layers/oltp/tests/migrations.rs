use crate::shop::Shop;
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{Layer, Tokeniser};
use oltp::{Config, Oltp};
use runtime::Telemetry;
use std::collections::HashSet;

crate::on_both!(processes_that_start_together_migrate_once, a_schema_of_another_program_is_refused,);

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
