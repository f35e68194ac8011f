//! A table in partitions travels as one table, whichever partitions it has.

use crate::rig::Rig;
use engine_postgres::Version;

const PARTITIONED: &str = "drop table crm.thing;
    create table crm.thing (id bigint primary key, n int not null default 0, big text, member_id uuid) partition by range (id);
    create table crm.thing_before (like crm.thing, primary key (id));
    insert into crm.thing_before (id, n) select i, i from generate_series(1, 10) i;
    alter table crm.thing attach partition crm.thing_before for values from (minvalue) to (11);
    create table crm.thing_default partition of crm.thing default;
    insert into crm.thing (id, n) values (100, 1)";

async fn partitions_travel_as_their_table(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute(PARTITIONED).await.unwrap();
    rig.start();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.seen("thing").await.len(), 11);
    // A partition that is made while capture runs, in both ways.
    let more = "create table crm.thing_20 partition of crm.thing for values from (11) to (20);
        create table crm.thing_30 (like crm.thing including defaults);
        alter table crm.thing attach partition crm.thing_30 for values from (20) to (30);
        insert into crm.thing (id, n) values (11, 1), (21, 2), (101, 3);
        update crm.thing set n = n + 1 where id in (3, 11, 21, 100);
        delete from crm.thing where id = 4";
    rig.sql.batch_execute(more).await.unwrap();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.changes("thing").await.len(), 11 + 3 + 4 + 1);
    for part in ["thing_before", "thing_default", "thing_20", "thing_30"] {
        assert!(rig.changes(part).await.is_empty(), "{part} travels by itself");
    }
    // What is moved while it is no part of the table is no news; neither is a month that is dropped.
    let moved = "begin; alter table crm.thing detach partition crm.thing_default;
        create table crm.thing_110 (like crm.thing including defaults);
        with late as (delete from crm.thing_default where id < 110 returning *) insert into crm.thing_110 select * from late;
        alter table crm.thing attach partition crm.thing_110 for values from (30) to (110);
        alter table crm.thing attach partition crm.thing_default default; commit;
        drop table crm.thing_20";
    rig.sql.batch_execute(moved).await.unwrap();
    rig.sql.batch_execute("update crm.thing set n = 9 where id = 101").await.unwrap();
    rig.caught_up().await;
    assert_eq!(rig.changes("thing").await.len(), 20);
    let (seen, mut truth) = (rig.seen("thing").await, rig.truth().await);
    truth.insert(11, "2".to_owned());
    assert_eq!(seen, truth, "dropped rows stay with the readers");
    assert_eq!(rig.events("snapshot").await.len(), 1, "no new snapshot for any of it");
    rig.finish().await;
}

async fn a_table_that_becomes_partitioned_is_read_anew(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id, n) values (1, 1), (2, 2)").await.unwrap();
    rig.start();
    rig.caught_up().await;
    rig.stop().await;
    let change = "alter publication storewide drop table crm.thing;
        alter table crm.thing rename to thing_before;
        create table crm.thing (like crm.thing_before including defaults, primary key (id)) partition by range (id);
        alter table crm.thing attach partition crm.thing_before for values from (minvalue) to (100);
        create table crm.thing_default partition of crm.thing default;
        alter publication storewide add table crm.thing;
        insert into crm.thing (id, n) values (3, 3), (100, 4)";
    rig.sql.batch_execute(change).await.unwrap();
    rig.start();
    rig.mended().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    rig.sql.batch_execute("update crm.thing set n = 7").await.unwrap();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    rig.finish().await;
}

on_both!(partitions_travel_as_their_table, a_table_that_becomes_partitioned_is_read_anew);
