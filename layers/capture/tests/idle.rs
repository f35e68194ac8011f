use crate::rig::Rig;
use engine_postgres::Version;

/// Writes to tables that are not captured must neither hold back PostgreSQL's log nor keep a reader waiting.
#[tokio::test]
async fn other_tables_move_the_position_too() {
    for version in Version::BOTH {
        let mut rig = Rig::new(version).await;
        rig.sql.batch_execute("create table crm.other (id int)").await.unwrap();
        rig.start();
        rig.caught_up().await;
        let mut slowest = std::time::Duration::ZERO;
        for i in 0..20 {
            rig.sql.execute("insert into crm.other values ($1)", &[&i]).await.unwrap();
            let since = std::time::Instant::now();
            rig.caught_up().await;
            slowest = slowest.max(since.elapsed());
        }
        println!("{version:?}: slowest commit to progress {slowest:?}");
        let wanted = capture::position(&*rig.bus).unwrap().unwrap().lsn;
        let confirmed = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        rig.until("the slot follows", async || {
            let row = rig.sql.query_one(confirmed, &[&rig.config.slot]).await.unwrap();
            model::position::parse_lsn(row.get(0)).unwrap() >= wanted
        })
        .await;
        assert!(rig.records("crm.thing").await.is_empty());
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_repeat() {
    let mut rig = Rig::new(Version::System).await;
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 500) g").await.unwrap();
    rig.caught_up().await;
    rig.stop().await;
    let stored = capture::position(&*rig.bus).unwrap().unwrap();
    let confirmed = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
    rig.until("the server has heard it", async || {
        let row = rig.sql.query_one(confirmed, &[&rig.config.slot]).await.unwrap();
        model::position::parse_lsn(row.get(0)).unwrap() == stored.lsn
    })
    .await;
    rig.finish().await;
}

#[tokio::test]
async fn heartbeats_move_the_log_on() {
    let mut rig = Rig::new(Version::System).await;
    rig.config.heartbeat_s = 1;
    rig.start();
    rig.caught_up().await;
    let before = rig.progress().await;
    rig.until("a heartbeat", async || rig.progress().await > before).await;
    rig.finish().await;
}
