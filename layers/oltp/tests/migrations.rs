use crate::shop::Shop;
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{Layer, Tokeniser};
use oltp::{Config, Oltp};
use runtime::Telemetry;

#[tokio::test]
async fn processes_that_start_together_migrate_once() {
    let pg = fresh_database(Version::System).await.unwrap();
    let open = || {
        let meter = Telemetry::default().meter(Layer::Oltp);
        Oltp::new(&Config::default(), pg.clone(), Tokeniser::new(b"test"), meter).unwrap()
    };
    let starts: Vec<_> = (0..4).map(|_| open()).map(|oltp| tokio::spawn(async move { oltp.migrate().await })).collect();
    let (mut applied, mut version) = (Vec::new(), 0);
    for start in starts {
        let report = start.await.unwrap().unwrap();
        version = report.version;
        applied.extend(report.applied);
    }
    assert_eq!(applied, (1..=version).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_schema_of_another_program_is_refused() {
    let shop = Shop::empty(Version::System).await;
    let outside = connect(&shop.pg).await.unwrap();
    outside.execute("update storewide.migration set checksum = 'x' where version = 2", &[]).await.unwrap();
    let error = shop.migrate().await.unwrap_err().to_string();
    assert!(error.contains("migration 2 (records) was changed"), "{error}");
    outside.execute("delete from storewide.migration where version = 2", &[]).await.unwrap();
    assert!(shop.migrate().await.is_err(), "a hole in the book");
    let newer = Shop::empty(Version::System).await;
    let outside = connect(&newer.pg).await.unwrap();
    let later = "insert into storewide.migration select max(version) + 1, 'later', 'x' from storewide.migration";
    outside.execute(later, &[]).await.unwrap();
    let error = newer.migrate().await.unwrap_err().to_string();
    assert!(error.contains("does not know"), "{error}");
}
