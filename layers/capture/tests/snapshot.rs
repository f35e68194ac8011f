use crate::rig::Rig;
use engine_postgres::Version;

async fn new_tables_with_rows_are_read(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.stop().await;
    rig.sql
        .batch_execute("create table crm.later (id int primary key, n int); insert into crm.later values (5, 6)")
        .await
        .unwrap();
    rig.config.tables.push("later".to_owned());
    rig.start();
    rig.mended().await;
    assert_eq!(rig.seen("later").await.len(), 1);
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    rig.finish().await;
}

/// While a table is not configured its changes pass by, the deletion of its last row among them.
async fn a_table_that_left_the_configuration_and_came_back(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1)").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    rig.config.tables = vec!["note".to_owned()];
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("delete from crm.thing").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    assert_eq!(rig.seen("thing").await.len(), 1);
    rig.config.tables.push("thing".to_owned());
    rig.start();
    rig.mended().await;
    assert!(rig.seen("thing").await.is_empty());
    assert_eq!(rig.markers().await, ["tables with rows joined the configuration"]);
    rig.finish().await;
}

/// Each attempt writes the store to the bus once more.
async fn too_many_attempts_are_refused(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 300) g").await.unwrap();
    rig.config.batch_records = 50;
    rig.config.resnapshots_per_hour = 1;
    rig.kill_after(100).await;
    rig.kill_after(100).await;
    rig.start();
    rig.until("refused", async || rig.errors().1.is_some_and(|text| text.contains("1 times again"))).await;
    assert_eq!(rig.markers().await, ["the last snapshot was not completed"]);
    let count = "select count(*) from pg_replication_slots where slot_name = $1";
    let slots: i64 = rig.sql.query_one(count, &[&rig.config.slot]).await.unwrap().get(0);
    assert_eq!(slots, 0, "a slot that waits would hold back the log");
    rig.stop().await;
}

/// The limits that a role, or a database, sets for its sessions are not for snapshots.
async fn no_time_limit_cuts_a_snapshot_short(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 100000) g").await.unwrap();
    let database = rig.pg.get_dbname().unwrap();
    let mut limits = vec!["statement_timeout", "idle_in_transaction_session_timeout"];
    if version == Version::Wheel18 {
        limits.push("transaction_timeout");
    }
    for name in limits {
        rig.sql.batch_execute(&format!("alter database {database} set {name} = '20ms'")).await.unwrap();
    }
    rig.start();
    rig.caught_up().await;
    assert_eq!(rig.records("crm.thing").await.len(), 100_000);
    assert_eq!(rig.markers().await, Vec::<String>::new());
    rig.finish().await;
}

on_both!(
    new_tables_with_rows_are_read,
    a_table_that_left_the_configuration_and_came_back,
    too_many_attempts_are_refused,
    no_time_limit_cuts_a_snapshot_short,
);
