//! A database of its own, a bus and a running capture.

use crate::gate::Gate;
use bus::{Bus, MemoryBus, Record, TopicPartition};
use capture::{CaptureError, Config};
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{Change, Layer, topic};
use runtime::Telemetry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// Two tables, one of which belongs to members.
const SCHEMA: &str = "create schema crm;
    create table crm.thing (id bigint primary key, n int not null default 0, big text, member_id uuid);
    create table crm.note (id bigint primary key, at timestamptz, tags text[], doc jsonb, amount numeric(18, 4));";

pub struct Rig {
    pub pg: tokio_postgres::Config,
    pub sql: Client,
    pub bus: Arc<MemoryBus>,
    /// What capture takes for the bus.
    pub gate: Arc<Gate>,
    pub config: Config,
    pub telemetry: Telemetry,
    running: Option<(JoinHandle<Result<(), CaptureError>>, CancellationToken)>,
}

impl Rig {
    pub async fn new(version: Version) -> Self {
        Self::on(fresh_database(version).await.unwrap()).await
    }

    pub async fn on(pg: tokio_postgres::Config) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let sql = connect(&pg).await.unwrap();
        sql.batch_execute(SCHEMA).await.unwrap();
        let slot = format!("slot_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let tables = vec!["thing".to_owned(), "note".to_owned()];
        let config = Config { slot, tables, ..Config::default() };
        let bus = Arc::new(MemoryBus::default());
        let gate = Arc::new(Gate::new(Arc::clone(&bus)));
        Self { pg, sql, bus, gate, config, telemetry: Telemetry::default(), running: None }
    }

    pub fn start(&mut self) {
        let stop = CancellationToken::new();
        let meter = self.telemetry.meter(Layer::Capture);
        let bus: Arc<dyn Bus> = Arc::<Gate>::clone(&self.gate);
        let run = capture::run(self.config.clone(), self.pg.clone(), bus, meter, stop.clone());
        self.running = Some((tokio::spawn(run), stop));
    }

    pub async fn stop(&mut self) {
        let (handle, stop) = self.running.take().unwrap();
        stop.cancel();
        handle.await.unwrap().unwrap();
    }

    /// Ends capture as a kill would: nothing is flushed, nothing acknowledged.
    pub async fn kill(&mut self) {
        let (handle, _) = self.running.take().unwrap();
        handle.abort();
        assert!(handle.await.unwrap_err().is_cancelled());
    }

    pub async fn failure(&mut self) -> CaptureError {
        self.running.take().unwrap().0.await.unwrap().unwrap_err()
    }

    /// Lets `count` changes pass, and ends capture as a kill would where it stands then.
    pub async fn kill_after(&mut self, count: usize) {
        self.gate.hold_after(count);
        if self.running.is_none() {
            self.start();
        }
        self.until("held", async || self.gate.holds()).await;
        self.kill().await;
        self.gate.open();
    }

    /// Waits until the bus has everything that is committed now.
    pub async fn caught_up(&self) {
        let row = self.sql.query_one("select pg_current_wal_flush_lsn()::text", &[]).await.unwrap();
        let wanted = model::position::parse_lsn(row.get(0)).unwrap();
        self.until("caught up", async || self.progress().await.is_some_and(|lsn| lsn >= wanted)).await;
    }

    /// The last position on `capture.progress`.
    pub async fn progress(&self) -> Option<u64> {
        let records = self.records(topic::CAPTURE_PROGRESS).await;
        let value: serde_json::Value = serde_json::from_slice(records.last()?.value.as_ref()?).unwrap();
        value["lsn"].as_u64()
    }

    /// What `capture.progress` says besides positions, of one kind.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let records = self.records(topic::CAPTURE_PROGRESS).await;
        let values = records
            .iter()
            .map(|record| serde_json::from_slice::<serde_json::Value>(record.value.as_ref().unwrap()).unwrap());
        values.filter_map(|value| value[name].as_str().map(str::to_owned)).collect()
    }

    /// Why snapshots were taken again.
    pub async fn markers(&self) -> Vec<String> {
        self.events("resnapshot").await
    }

    /// Waits for the end of the new snapshot, the second one.
    pub async fn mended(&self) {
        self.until("a new snapshot", async || self.events("snapshot").await.len() == 2).await;
        self.caught_up().await;
    }

    /// Waits until nobody uses the slot, and drops it.
    pub async fn drop_slot(&self) {
        let drop =
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active";
        self.until("the slot is free and dropped", async || {
            self.sql.execute(drop, &[&self.config.slot]).await.unwrap() == 1
        })
        .await;
    }

    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let limit = Duration::from_secs(30);
        let reached = tokio::time::timeout(limit, async {
            while !condition().await {
                if let Some((handle, _)) = &self.running {
                    assert!(!handle.is_finished(), "capture ended while waiting for: {what}");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let reached = reached.await.is_ok();
        assert!(reached, "never: {what}; last errors: {:?}", self.telemetry.status());
    }

    pub async fn records(&self, name: &str) -> Vec<Record> {
        let topics = self.bus.topics().await.unwrap();
        let Some(spec) = topics.into_iter().find(|spec| spec.name == name) else { return Vec::new() };
        let mut all = Vec::new();
        for partition in 0..spec.partitions {
            let (at, mut from) = (TopicPartition::new(name, partition), 0);
            loop {
                let records = self.bus.fetch(&at, from, 10_000, 64 << 20).await.unwrap();
                let Some(last) = records.last() else { break };
                from = last.offset + 1;
                all.extend(records);
            }
        }
        all
    }

    /// All changes of a table, in the order of their versions; fails when two are the same change.
    pub async fn changes(&self, table: &str) -> Vec<Change> {
        let records = self.records(&topic::crm(table)).await;
        let mut places = BTreeSet::new();
        let mut changes = BTreeMap::new();
        for record in records {
            let change: Change = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            assert!(places.insert((record.at.partition, change.version())), "twice: {change:?}");
            let twin = changes.insert(change.version(), change);
            assert!(twin.is_none_or(|twin| twin.op == model::Op::Truncate), "twice, in two partitions");
        }
        changes.into_values().collect()
    }

    /// The table as a reader of the changes sees it: the newest row of each id.
    pub async fn seen(&self, table: &str) -> BTreeMap<i64, String> {
        let mut rows = BTreeMap::new();
        for change in self.changes(table).await {
            let id = |row: &Option<model::change::Row>| row.as_ref().and_then(|row| row["id"].as_i64());
            match (change.op, id(&change.after).or_else(|| id(&change.before))) {
                (model::Op::Truncate, _) => rows.clear(),
                (model::Op::Delete, Some(id)) => drop(rows.remove(&id)),
                (_, Some(id)) => drop(rows.insert(id, change.after.unwrap()["n"].to_string())),
                (_, None) => panic!("no id"),
            }
        }
        rows
    }

    /// The table as it is.
    pub async fn truth(&self) -> BTreeMap<i64, String> {
        let rows = self.sql.query("select id, n::text from crm.thing", &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub fn errors(&self) -> (u64, Option<String>) {
        let status = self.telemetry.status();
        (status[0].errors, status[0].last_error.clone())
    }

    /// Stops capture and frees the slot, of which a cluster has few.
    pub async fn finish(mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        let drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1";
        self.until("slot dropped", async || self.sql.execute(drop, &[&self.config.slot]).await.is_ok()).await;
    }
}
