use crate::rig::Rig;
use capture::CaptureError;
use engine_postgres::Version;
use serde_json::json;

const CHANGED: &str = "the publication was changed by somebody else";

/// Changes that are not published, a deleted row among them.
const MEANWHILE: &str = "delete from crm.thing where id = 1; insert into crm.thing (id, n) values (3, 3); update crm.thing set n = 9 where id = 2";

async fn started(version: Version) -> Rig {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1), (2)").await.unwrap();
    rig.caught_up().await;
    rig
}

/// Changes that pass by unpublished while capture rests are told and mended.
async fn mends(version: Version, before: &str, after: &str) {
    let mut rig = started(version).await;
    rig.stop().await;
    for text in [before, MEANWHILE, after] {
        rig.sql.batch_execute(text).await.unwrap();
    }
    rig.start();
    rig.mended().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.markers().await, [CHANGED]);
    rig.stop().await;
    rig.start();
    rig.caught_up().await;
    assert_eq!(rig.markers().await.len(), 1, "once is enough");
    rig.finish().await;
}

async fn a_table_that_left_and_came_back(version: Version) {
    mends(version, "alter publication storewide drop table crm.thing", "").await;
    let by_hand = "alter publication storewide add table crm.thing";
    mends(version, "alter publication storewide drop table crm.thing", by_hand).await;
}

async fn a_dropped_publication(version: Version) {
    mends(version, "drop publication storewide", "").await;
    mends(version, "drop publication storewide", "create publication storewide for table crm.thing, crm.note").await;
}

async fn changed_options(version: Version) {
    mends(version, "alter publication storewide set (publish = 'insert')", "").await;
    let back = "alter publication storewide set (publish = 'insert, update, delete, truncate')";
    mends(version, "alter publication storewide set (publish = 'insert')", back).await;
}

/// Without a restart, at the next heartbeat.
async fn a_change_under_way(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.config.heartbeat_s = 1;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("alter publication storewide drop table crm.thing").await.unwrap();
    rig.sql.batch_execute("insert into crm.thing (id) values (1)").await.unwrap();
    rig.mended().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.markers().await, [CHANGED]);
    rig.finish().await;
}

/// A publication that was there before capture is made to send everything; that is no gap.
async fn one_that_sends_too_little(version: Version) {
    let mut rig = Rig::new(version).await;
    let table = "create table crm.part (id int primary key) partition by list (id); create table crm.part_1 partition of crm.part for values in (1)";
    rig.sql.batch_execute(table).await.unwrap();
    rig.sql
        .batch_execute("create publication storewide for table crm.thing, crm.part with (publish = 'insert')")
        .await
        .unwrap();
    rig.config.tables.push("part".to_owned());
    rig.start();
    rig.caught_up().await;
    rig.sql
        .batch_execute(
            "insert into crm.thing (id) values (1); update crm.thing set n = 2; insert into crm.part values (1)",
        )
        .await
        .unwrap();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.changes("part").await.len(), 1, "under the name of the whole");
    assert_eq!(rig.markers().await, Vec::<String>::new());
    rig.finish().await;
}

async fn a_row_filter_is_refused(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("create publication storewide for table crm.thing where (id > 5)").await.unwrap();
    rig.start();
    let error = rig.failure().await;
    assert!(matches!(&error, CaptureError::Config(text) if text.contains("crm.thing")), "{error}");
}

async fn a_column_list_holds_for_the_snapshot_too(version: Version) {
    let mut rig = Rig::new(version).await;
    let prepare = "create publication storewide for table crm.thing (id, n), crm.note; insert into crm.thing values (1, 1, 'secret')";
    rig.sql.batch_execute(prepare).await.unwrap();
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing values (2, 1, 'secret')").await.unwrap();
    rig.caught_up().await;
    let rows: Vec<_> = rig.changes("thing").await.into_iter().map(|change| json!(change.after)).collect();
    assert_eq!(rows, [json!({"id": 1, "n": 1}), json!({"id": 2, "n": 1})]);
    rig.finish().await;
}

on_both!(
    a_table_that_left_and_came_back,
    a_dropped_publication,
    changed_options,
    a_change_under_way,
    one_that_sends_too_little,
    a_row_filter_is_refused,
    a_column_list_holds_for_the_snapshot_too,
);
