use crate::rig::Rig;
use capture::CaptureError;
use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Version};
use pgwire_replication::{ReplicationClient, ReplicationConfig};
use tokio_postgres::config::Host;

/// Changes that nobody captured, a deleted row among them.
const MEANWHILE: &str = "delete from crm.thing where id = 1; insert into crm.thing (id, n) values (3, 3); update crm.thing set n = 9 where id = 2";

/// A capture that has run and is stopped.
async fn started(mut rig: Rig) -> Rig {
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1), (2)").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    rig
}

/// Starts it again, and checks that the gap was told and mended.
async fn mends(mut rig: Rig, why: &str) {
    rig.start();
    rig.mended().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.markers().await, [why]);
    let (errors, last) = rig.errors();
    assert!(errors >= 1 && last.unwrap().contains("changes may be missing"));
    rig.finish().await;
}

async fn a_dropped_slot(version: Version) {
    let rig = started(Rig::new(version).await).await;
    rig.drop_slot().await;
    rig.sql.batch_execute(MEANWHILE).await.unwrap();
    mends(rig, "the replication slot is gone").await;
}

async fn a_recreated_slot(version: Version) {
    let rig = started(Rig::new(version).await).await;
    rig.drop_slot().await;
    rig.sql.batch_execute(MEANWHILE).await.unwrap();
    let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    rig.sql.execute(create, &[&rig.config.slot]).await.unwrap();
    mends(rig, "the replication slot was moved on or created again by somebody else").await;
}

/// On a cluster of its own, since the limit is for all slots.
async fn a_slot_that_held_back_too_much(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let mut rig = started(Rig::on(cluster.config()).await).await;
    rig.sql.batch_execute("alter system set max_slot_wal_keep_size = '1MB'").await.unwrap();
    rig.sql.batch_execute("select pg_reload_conf()").await.unwrap();
    rig.sql.batch_execute(MEANWHILE).await.unwrap();
    for _ in 0..4 {
        rig.sql
            .batch_execute(
                "select pg_switch_wal(); insert into crm.note (id) select coalesce(max(id), 0) + 1 from crm.note",
            )
            .await
            .unwrap();
    }
    rig.sql.batch_execute("checkpoint").await.unwrap();
    let lost = "select wal_status = 'lost' from pg_replication_slots where slot_name = $1";
    rig.until("lost", async || rig.sql.query_one(lost, &[&rig.config.slot]).await.unwrap().get(0)).await;
    rig.sql = connect(&rig.pg).await.unwrap();
    mends(rig, "PostgreSQL has invalidated the replication slot").await;
}

/// While somebody holds the slot, capture waits; it does not say again and again that it takes a snapshot.
async fn a_slot_that_somebody_else_uses(version: Version) {
    let rig = started(Rig::new(version).await).await;
    let [Host::Unix(socket)] = rig.pg.get_hosts() else { panic!("the cluster listens on a socket") };
    let (user, password) = (rig.pg.get_user().unwrap(), String::from_utf8_lossy(rig.pg.get_password().unwrap()));
    let (slot, host) = (&*rig.config.slot, socket.to_str().unwrap());
    let settings = ReplicationConfig::new(host, user, password, rig.pg.get_dbname().unwrap(), slot, "storewide");
    let mut holder = ReplicationClient::connect(settings.with_port(rig.pg.get_ports()[0])).await.unwrap();
    holder.wait_started().await.unwrap();
    let mut rig = rig;
    rig.sql.batch_execute("alter publication storewide drop table crm.thing").await.unwrap();
    rig.start();
    rig.until("refused twice", async || rig.errors().0 >= 2).await;
    assert!(rig.errors().1.unwrap().contains("active"));
    assert_eq!(rig.markers().await, Vec::<String>::new());
    holder.shutdown().await.unwrap();
    rig.mended().await;
    assert_eq!(rig.markers().await.len(), 1);
    rig.finish().await;
}

async fn another_store_is_refused(version: Version) {
    let mut rig = started(Rig::new(version).await).await;
    let other = Rig::new(version).await;
    rig.drop_slot().await;
    rig.pg = other.pg.clone();
    rig.start();
    assert!(matches!(rig.failure().await, CaptureError::OtherStore(_)));
}

on_both!(
    a_dropped_slot,
    a_recreated_slot,
    a_slot_that_held_back_too_much,
    a_slot_that_somebody_else_uses,
    another_store_is_refused,
);
