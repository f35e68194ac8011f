use crate::rig::Rig;
use capture::CaptureError;
use engine_postgres::Version;
use model::topic;

const DROP: &str =
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active";

async fn drop_slot(rig: &Rig) {
    rig.until("the slot is free and dropped", async || rig.sql.execute(DROP, &[&rig.config.slot]).await.unwrap() == 1)
        .await;
}

async fn events(rig: &Rig, name: &str) -> Vec<String> {
    let records = rig.records(topic::CAPTURE_PROGRESS).await;
    let values = records
        .iter()
        .map(|record| serde_json::from_slice::<serde_json::Value>(record.value.as_ref().unwrap()).unwrap());
    values.filter_map(|value| value[name].as_str().map(str::to_owned)).collect()
}

async fn markers(rig: &Rig) -> Vec<String> {
    events(rig, "resnapshot").await
}

/// Waits for the end of the new snapshot, the second one.
async fn mended(rig: &Rig) {
    rig.until("a new snapshot", async || events(rig, "snapshot").await.len() == 2).await;
    rig.caught_up().await;
}

/// Changes that nobody captured, a deleted row among them.
async fn meanwhile(rig: &Rig) {
    let text = "delete from crm.thing where id = 1; insert into crm.thing (id, n) values (3, 3); update crm.thing set n = 9 where id = 2";
    rig.sql.batch_execute(text).await.unwrap();
}

async fn started(version: Version) -> Rig {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1), (2)").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    rig
}

#[tokio::test]
async fn a_dropped_slot_is_mended_and_never_in_silence() {
    for version in Version::BOTH {
        let mut rig = started(version).await;
        drop_slot(&rig).await;
        meanwhile(&rig).await;
        rig.start();
        mended(&rig).await;
        assert_eq!(rig.seen("thing").await, rig.truth().await);
        assert_eq!(markers(&rig).await, ["the replication slot is gone"]);
        let (errors, last) = rig.errors();
        assert!(errors >= 1 && last.unwrap().contains("changes may be missing"));
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_recreated_slot_is_noticed() {
    let mut rig = started(Version::System).await;
    drop_slot(&rig).await;
    meanwhile(&rig).await;
    let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    rig.sql.execute(create, &[&rig.config.slot]).await.unwrap();
    rig.start();
    mended(&rig).await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(markers(&rig).await.len(), 1);
    rig.finish().await;
}

#[tokio::test]
async fn too_many_gaps_wait_for_a_person() {
    let mut rig = started(Version::System).await;
    rig.config.resnapshots_per_hour = 1;
    drop_slot(&rig).await;
    rig.start();
    mended(&rig).await;
    rig.stop().await;
    drop_slot(&rig).await;
    rig.start();
    rig.until("refused", async || rig.errors().1.is_some_and(|text| text.contains("lost 1 times"))).await;
    rig.finish().await;
}

#[tokio::test]
async fn new_tables_with_rows_are_read() {
    let mut rig = started(Version::System).await;
    rig.sql
        .batch_execute("create table crm.later (id int primary key, n int); insert into crm.later values (5, 6)")
        .await
        .unwrap();
    rig.config.tables.push("later".to_owned());
    rig.start();
    mended(&rig).await;
    assert_eq!(rig.seen("later").await.len(), 1);
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    rig.finish().await;
}

#[tokio::test]
async fn another_store_is_refused() {
    let mut rig = started(Version::System).await;
    let other = Rig::new(Version::System).await;
    drop_slot(&rig).await;
    rig.pg = other.pg.clone();
    rig.start();
    assert!(matches!(rig.failure().await, CaptureError::OtherStore(_)));
}
