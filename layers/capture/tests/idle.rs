use crate::rig::Rig;
use engine_postgres::Version;

const CONFIRMED: &str = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";

/// Writes to tables that are not captured must neither hold back PostgreSQL's log nor keep a reader waiting for a heartbeat.
async fn other_tables_move_the_position_too(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("create table crm.other (id int)").await.unwrap();
    rig.config.heartbeat_s = 3600;
    rig.start();
    rig.caught_up().await;
    for i in 0..5 {
        rig.sql.execute("insert into crm.other values ($1)", &[&i]).await.unwrap();
        rig.caught_up().await;
    }
    let wanted = capture::position(&*rig.bus).unwrap().unwrap().lsn;
    rig.until("the slot follows", async || {
        let row = rig.sql.query_one(CONFIRMED, &[&rig.config.slot]).await.unwrap();
        model::position::parse_lsn(row.get(0)).unwrap() >= wanted
    })
    .await;
    assert!(rig.records("crm.thing").await.is_empty());
    rig.finish().await;
}

async fn a_clean_stop_leaves_nothing_to_repeat(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 500) g").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    let stored = capture::position(&*rig.bus).unwrap().unwrap();
    rig.until("the server has heard it", async || {
        let row = rig.sql.query_one(CONFIRMED, &[&rig.config.slot]).await.unwrap();
        model::position::parse_lsn(row.get(0)).unwrap() == stored.lsn
    })
    .await;
    rig.finish().await;
}

/// Looks for the heartbeat itself, with a slot of its own: other programs move the log too.
async fn heartbeats_are_in_the_log(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.config.heartbeat_s = 1;
    rig.start();
    rig.caught_up().await;
    let slot = format!("{}_watch", rig.config.slot);
    rig.sql.execute("select pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await.unwrap();
    let peek = "select exists (select from pg_logical_slot_peek_binary_changes($1, null, null, 'proto_version', '1', \
        'publication_names', 'storewide', 'messages', 'true') where position('storewide.heartbeat'::bytea in data) > 0)";
    rig.until("a heartbeat", async || rig.sql.query_one(peek, &[&slot]).await.unwrap().get(0)).await;
    rig.sql.execute("select pg_drop_replication_slot($1)", &[&slot]).await.unwrap();
    rig.finish().await;
}

on_both!(other_tables_move_the_position_too, a_clean_stop_leaves_nothing_to_repeat, heartbeats_are_in_the_log);
