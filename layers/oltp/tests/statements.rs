use crate::shop::{Shop, giving_back, order};
use engine_postgres::Version;
use engine_postgres::testing::connect;
use oltp::Command;
use std::collections::BTreeMap;

crate::on_both!(all_statements_prepare, all_functions_run);

async fn all_statements_prepare(version: Version) {
    let shop = Shop::empty(version).await;
    let client = connect(&shop.pg).await.unwrap();
    for (name, sql) in oltp::statement::ALL {
        let prepared = client.prepare(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
    for entity in oltp::Entity::ALL {
        for sql in entity.statements() {
            let prepared = client.prepare(&sql).await;
            assert!(prepared.is_ok(), "{}: {:?}\n{sql}", entity.name, prepared.err());
        }
    }
}

/// The bodies of functions are planned when they run, so a fault in one is seen no earlier.
async fn all_functions_run(version: Version) {
    let shop = Shop::open(version).await;
    shop.put(order("1")).await;
    shop.done(Command::Return(giving_back("r1", "1", &[(1, "1")]))).await;
    let mut client = connect(&shop.pg).await.unwrap();
    let calls = include_str!("calls.sql");
    let sql = "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'crm' and p.prorettype <> 'trigger'::regtype";
    let functions: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(functions.len() >= 35, "{} functions", functions.len());
    for function in functions {
        assert!(calls.contains(&format!("crm.{function}(")), "tests/calls.sql does not call {function}");
    }
    let transaction = client.transaction().await.unwrap();
    for call in calls.split("\n\n") {
        let ran = transaction.batch_execute(call).await;
        assert!(ran.is_ok(), "{call}\n{:?}", ran.err());
    }
    transaction.rollback().await.unwrap();
    shop.check_books().await;
}

#[test]
fn all_files_are_statements() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.insert(name, std::fs::read_to_string(&path).unwrap());
    }
    // For pgbench, which has a language of its own.
    assert!(files.remove("bench_order").is_some());
    let named: BTreeMap<_, _> =
        oltp::statement::ALL.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
    assert_eq!(named, files);
}
