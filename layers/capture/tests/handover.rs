use crate::rig::Rig;
use engine_postgres::Version;
use engine_postgres::testing::connect;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// Writes as fast as it can: inserts, updates, deletes, rolled back work, transactions of several rows.
async fn write(pg: tokio_postgres::Config, worker: i64, stop: Arc<AtomicBool>) -> i64 {
    let sql = connect(&pg).await.unwrap();
    let (mut id, mut done) = (worker * 1_000_000, 0);
    while !stop.load(Ordering::Relaxed) {
        id += 10;
        let (a, b, c) = (id, id + 1, id + 2);
        let text = format!(
            "begin; insert into crm.thing (id) values ({a}), ({b}), ({c}); update crm.thing set n = n + 1 where id = {b}; \
             savepoint s; update crm.thing set n = 99 where id = {a}; rollback to s; delete from crm.thing where id = {c}; commit;
             begin; update crm.thing set n = 77 where id = {a}; rollback;
             update crm.thing set n = n + 1 where id = {worker} + 100"
        );
        sql.batch_execute(&text).await.unwrap();
        done += 1;
    }
    done
}

async fn meet_exactly(version: Version, kills: usize) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id) select g from generate_series(1, 3000) g").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for worker in 1..=4 {
        writers.spawn(write(rig.pg.clone(), worker, Arc::clone(&stop)));
    }
    rig.config.batch_records = 50;
    if kills > 0 {
        rig.kill_after(500).await;
    }
    rig.start();
    rig.until("a whole snapshot", async || rig.events("snapshot").await.len() == 1).await;
    for _ in 1..kills {
        rig.kill_after(2000).await;
        rig.start();
    }
    rig.until("the stream", async || rig.changes("thing").await.len() > 8000).await;
    stop.store(true, Ordering::Relaxed);
    let done: i64 = writers.join_all().await.into_iter().sum();
    rig.caught_up().await;
    assert!(done > 0);
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    let reads = rig.changes("thing").await.iter().filter(|change| change.op == model::Op::Read).count();
    assert!(reads >= 3000, "{reads}");
    let cut = rig.markers().await;
    assert_eq!(cut, vec!["the last snapshot was not completed"; kills.min(1)]);
    rig.finish().await;
}

async fn snapshot_and_stream_meet_exactly(version: Version) {
    meet_exactly(version, 0).await;
}

async fn killed_in_snapshot_and_stream(version: Version) {
    meet_exactly(version, 3).await;
}

on_both!(snapshot_and_stream_meet_exactly, killed_in_snapshot_and_stream);
