use crate::rig::Rig;
use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Version};
use model::Layer;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio_util::sync::CancellationToken;

/// Inserts one row a transaction; after an interruption it goes on with the next id.
async fn write(pg: tokio_postgres::Config, next: Arc<AtomicI64>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let Ok(sql) = connect(&pg).await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        while !stop.is_cancelled() {
            let id = next.fetch_add(1, Ordering::Relaxed);
            if sql.execute("insert into crm.thing (id) values ($1)", &[&id]).await.is_err() {
                break;
            }
        }
    }
}

async fn postgres_is_killed_under_load(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let mut rig = Rig::on(cluster.config()).await;
    let stop = CancellationToken::new();
    let supervisor = tokio::spawn({
        let (cluster, meter, stop) = ((*cluster).clone(), rig.telemetry.meter(Layer::Oltp), stop.clone());
        async move { cluster.supervise(meter, stop).await }
    });
    let writing = CancellationToken::new();
    let next = Arc::new(AtomicI64::new(1));
    let writers = [0; 4].map(|_| tokio::spawn(write(rig.pg.clone(), Arc::clone(&next), writing.clone())));
    rig.start();
    for kill in 1..=2 {
        rig.until("load", async || rig.records("crm.thing").await.len() > kill * 1000).await;
        let old = cluster.pid().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(old).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        rig.until("a new postmaster", async || cluster.pid().is_some_and(|pid| pid != old)).await;
    }
    let count = rig.records("crm.thing").await.len();
    rig.until("the stream goes on", async || rig.records("crm.thing").await.len() > count + 1000).await;
    writing.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    rig.sql = connect(&rig.pg).await.unwrap();
    rig.caught_up().await;
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    assert_eq!(rig.changes("thing").await.len(), rig.truth().await.len(), "each row once");
    rig.stop().await;
    stop.cancel();
    supervisor.await.unwrap().unwrap();
}

on_both!(postgres_is_killed_under_load);
