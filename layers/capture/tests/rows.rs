use crate::rig::Rig;
use engine_postgres::Version;
use model::Op;
use serde_json::json;

async fn values_are_told_as_they_are(version: Version) {
    let mut rig = Rig::new(version).await;
    let row = "insert into crm.note values (1, '2026-01-02 03:04:05.123456+02', '{a,\"b c\",null}', '{\"k\": [1, 2.50]}', 12.5)";
    rig.sql.batch_execute(row).await.unwrap();
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute(&row.replace("(1,", "(2,")).await.unwrap();
    rig.caught_up().await;
    let changes = rig.changes("note").await;
    assert_eq!(changes.iter().map(|change| change.op).collect::<Vec<_>>(), [Op::Read, Op::Create]);
    let [mut read, mut created] = [0, 1].map(|i: usize| changes[i].after.clone().unwrap());
    assert_eq!((read.swap_remove("id"), created.swap_remove("id")), (Some(json!(1)), Some(json!(2))));
    assert_eq!(read, created, "the snapshot and the stream write values alike");
    let wanted = json!({"at": "2026-01-02T01:04:05.123456Z", "tags": ["a", "b c", null], "doc": {"k": [1, 2.50]}, "amount": "12.5000"});
    assert_eq!(json!(created), wanted);
    assert!(changes[0].source.snapshot && !changes[1].source.snapshot);
    assert!(changes[0].version() < changes[1].version());
    rig.finish().await;
}

async fn large_values_that_did_not_change(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    let big = "(select string_agg(md5(g::text), '') from generate_series(1, 400) g)";
    rig.sql
        .batch_execute(&format!("insert into crm.thing values (1, 1, {big}); update crm.thing set n = 2 where id = 1"))
        .await
        .unwrap();
    rig.sql
        .batch_execute("alter table crm.thing replica identity full; update crm.thing set n = 3 where id = 1")
        .await
        .unwrap();
    rig.sql.batch_execute("delete from crm.thing where id = 1").await.unwrap();
    rig.caught_up().await;
    let changes = rig.changes("thing").await;
    assert_eq!(changes.len(), 4);
    assert_eq!(changes[1].unchanged, ["big"]);
    assert!(!changes[1].after.as_ref().unwrap().contains_key("big"));
    assert!(changes[2].unchanged.is_empty(), "the old row has it");
    assert_eq!(changes[2].after.as_ref().unwrap()["big"].as_str().unwrap().len(), 12_800);
    assert_eq!(changes[3].before.as_ref().unwrap()["n"], json!(3));
    assert_eq!(changes[3].after, None);
    rig.finish().await;
}

async fn truncates_reach_every_partition(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql
        .batch_execute("insert into crm.thing (id) values (1), (2); insert into crm.note (id) values (1)")
        .await
        .unwrap();
    rig.sql
        .batch_execute("begin; truncate crm.thing, crm.note; insert into crm.thing (id, n) values (3, 7); commit")
        .await
        .unwrap();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    for table in ["crm.thing", "crm.note"] {
        let records = rig.records(table).await;
        let truncates = records.iter().filter(|record| {
            let change: model::Change = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            change.op == Op::Truncate && record.key.is_none()
        });
        let partitions: Vec<i32> = truncates.map(|record| record.at.partition).collect();
        assert_eq!(partitions, [0, 1, 2, 3]);
    }
    rig.finish().await;
}

async fn one_member_one_partition(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    let member = "0198a000-0000-7000-8000-000000000001";
    rig.sql
        .batch_execute(&format!("insert into crm.thing (id, member_id) select g, '{member}' from generate_series(1, 20) g; insert into crm.thing (id) values (77)"))
        .await
        .unwrap();
    rig.caught_up().await;
    let keys: Vec<String> = rig
        .records("crm.thing")
        .await
        .iter()
        .map(|record| String::from_utf8_lossy(record.key.as_ref().unwrap()).into_owned())
        .collect();
    assert_eq!(keys.iter().filter(|key| **key == format!("m:{member}")).count(), 20);
    assert_eq!(keys.iter().filter(|key| *key == "77").count(), 1);
    rig.finish().await;
}

async fn a_transaction_larger_than_any_batch(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.config.batch_records = 100;
    rig.start();
    rig.caught_up().await;
    rig.gate.hold_after(1000);
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 20000) g").await.unwrap();
    rig.until("held inside the transaction", async || rig.gate.holds()).await;
    rig.kill().await;
    rig.gate.open();
    assert!(capture::position(&*rig.bus).unwrap().unwrap().partial.is_some(), "killed inside the transaction");
    rig.start();
    rig.caught_up().await;
    let changes = rig.changes("thing").await;
    let seqs: Vec<u64> = changes.iter().map(|change| change.source.seq).collect();
    assert_eq!(seqs, (0..20_000).collect::<Vec<u64>>());
    rig.finish().await;
}

async fn a_value_that_is_too_large_is_omitted(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing values (1, 1, 'small')").await.unwrap();
    rig.sql.batch_execute("update crm.thing set big = repeat('x', 2000000)").await.unwrap();
    rig.caught_up().await;
    let records = rig.records("crm.thing").await;
    let value: serde_json::Value = serde_json::from_slice(records[1].value.as_ref().unwrap()).unwrap();
    assert_eq!((&value["omitted"], value.get("unchanged")), (&json!(["big"]), None));
    assert_eq!(value["after"], json!({"id": 1, "n": 1, "member_id": null}));
    rig.finish().await;
}

on_both!(
    values_are_told_as_they_are,
    a_value_that_is_too_large_is_omitted,
    large_values_that_did_not_change,
    truncates_reach_every_partition,
    one_member_one_partition,
    a_transaction_larger_than_any_batch
);
