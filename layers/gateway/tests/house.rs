//! A running gateway: real log, real listener, real client.

use async_trait::async_trait;
use bus::{Bus, BusError, Group, NewRecord, Placed, Record, Step, TopicPartition, TopicSpec, Watermarks};
use bytes::Bytes;
use engine_fjall::{Options, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use gateway::quarantine::{self, Entry};
use gateway::{Config, Gateway};
use model::behaviour::BehaviourEvent;
use model::{Layer, Timestamp, Tokeniser, topic};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use runtime::Telemetry;
use runtime::clock::FixedClock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The write key of all tests.
pub const KEY: &str = "wk_test_0123456789";
/// The time at which all events of the tests are received.
pub const NOW: &str = "2026-03-01T12:00:00Z";

/// The real log, with faults on demand.
pub struct Faulty {
    inner: Arc<dyn Bus>,
    /// Whether produce fails.
    pub fails: AtomicBool,
    /// Whether produce waits until it is let go.
    pub holds: AtomicBool,
    /// Lets go.
    pub release: Notify,
    /// Calls of produce that wait now.
    pub held: AtomicUsize,
    /// Waits for capture to say how far it is.
    pub waits_for_capture: AtomicUsize,
}

#[async_trait]
impl Bus for Faulty {
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), BusError> {
        self.inner.create_topic(spec).await
    }
    async fn topics(&self) -> Result<Vec<TopicSpec>, BusError> {
        self.inner.topics().await
    }
    async fn produce(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, BusError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(BusError::Engine("the disk is full".to_owned()));
        }
        if self.holds.load(Ordering::SeqCst) {
            self.held.fetch_add(1, Ordering::SeqCst);
            self.release.notified().await;
        }
        self.inner.produce(records).await
    }
    async fn fetch(&self, at: &TopicPartition, from: i64, n: usize, bytes: usize) -> Result<Vec<Record>, BusError> {
        self.inner.fetch(at, from, n, bytes).await
    }
    async fn wait(&self, positions: &[(TopicPartition, i64)], at_most: Duration) -> Result<bool, BusError> {
        if positions.iter().any(|(at, _)| at.topic == topic::CAPTURE_PROGRESS) {
            self.waits_for_capture.fetch_add(1, Ordering::SeqCst);
        }
        self.inner.wait(positions, at_most).await
    }
    async fn watermarks(&self, at: &TopicPartition) -> Result<Watermarks, BusError> {
        self.inner.watermarks(at).await
    }
    async fn offset_for_time(&self, at: &TopicPartition, timestamp_ms: i64) -> Result<Option<i64>, BusError> {
        self.inner.offset_for_time(at, timestamp_ms).await
    }
    async fn trim(&self, at: &TopicPartition, before: i64) -> Result<(), BusError> {
        self.inner.trim(at, before).await
    }
    async fn enforce_retention(&self, now_ms: i64) -> Result<(), BusError> {
        self.inner.enforce_retention(now_ms).await
    }
    async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Group>, BusError> {
        self.inner.join(group, topics).await
    }
    async fn committed(&self, group: &str, at: &TopicPartition) -> Result<Option<i64>, BusError> {
        self.inner.committed(group, at).await
    }
    async fn step(&self, step: Step) -> Result<Vec<Placed>, BusError> {
        self.inner.step(step).await
    }
    fn state_get(&self, namespace: &str, key: &[u8]) -> Result<Option<Bytes>, BusError> {
        self.inner.state_get(namespace, key)
    }
    fn state_scan(&self, namespace: &str, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, BusError> {
        self.inner.state_scan(namespace, from, limit)
    }
}

/// A gateway that runs.
pub struct House {
    pub bus: Arc<Faulty>,
    pub gateway: Gateway,
    pub url: String,
    pub http: Client,
    pub telemetry: Telemetry,
    stop: CancellationToken,
    _store: Store,
    _folder: TempDir,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl House {
    /// A gateway that knows [`KEY`].
    pub async fn open() -> Self {
        Self::open_with(Config::default()).await
    }

    pub async fn open_with(config: Config) -> Self {
        let house = Self::closed(config).await;
        house.create_topics().await;
        house.tell_key("c", 1, 1, KEY, false).await;
        house.tell_progress(1).await;
        house.follow();
        until("the write keys are known", async || house.gateway.is_ready()).await;
        house
    }

    /// A gateway that does not follow its write keys yet, on an empty log.
    pub async fn closed(config: Config) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let inner: Arc<dyn Bus> = store.bus();
        let bus = Arc::new(Faulty {
            inner,
            fails: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            release: Notify::new(),
            held: AtomicUsize::new(0),
            waits_for_capture: AtomicUsize::new(0),
        });
        let telemetry = Telemetry::default();
        let gateway = Gateway::new(
            config,
            Arc::clone(&bus) as Arc<dyn Bus>,
            tokeniser(),
            Arc::new(contract::events::Registry::embedded()),
            Arc::new(FixedClock(now())),
            telemetry.meter(Layer::Gateway),
        );
        let listener = runtime::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(runtime::http::serve(listener, gateway.router(), stop.clone()));
        Self { bus, gateway, url, http: Client::new(), telemetry, stop, _store: store, _folder: folder }
    }

    pub async fn create_topics(&self) {
        for (name, partitions) in topic::all() {
            self.bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
        }
    }

    /// Starts following the write keys.
    pub fn follow(&self) {
        let (gateway, stop) = (self.gateway.clone(), self.stop.clone());
        tokio::spawn(async move { gateway.follow_write_keys(stop).await });
    }

    /// Puts a change of a write key on the bus, as capture does.
    pub async fn tell_key(&self, op: &str, lsn: u64, id: u128, key: &str, revoked: bool) {
        self.produce(key_change(op, lsn, id, key, revoked)).await;
    }

    /// Says how far capture is, as capture does.
    pub async fn tell_progress(&self, lsn: u64) {
        let value = json!({"lsn": lsn, "ts_us": 0}).to_string();
        let topic = topic::CAPTURE_PROGRESS.to_owned();
        self.produce(NewRecord { topic, value: Some(value.into()), ..NewRecord::default() }).await;
    }

    pub async fn produce(&self, record: NewRecord) -> Placed {
        self.bus.produce(vec![record]).await.unwrap().remove(0)
    }

    /// A POST with the write key.
    pub fn post(&self, call: &str) -> RequestBuilder {
        self.http.post(format!("{}/v1/{call}", self.url)).basic_auth(KEY, Some(""))
    }

    /// Sends JSON and reads the answer.
    pub async fn send(&self, call: &str, body: &Value) -> (StatusCode, Value) {
        read(self.post(call).body(body.to_string()).send().await.unwrap()).await
    }

    /// All records of a topic, partition by partition.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        let spec = self.bus.topics().await.unwrap().into_iter().find(|spec| spec.name == topic).unwrap();
        let mut all = Vec::new();
        for partition in 0..spec.partitions {
            let at = TopicPartition::new(topic, partition);
            let mut from = 0;
            loop {
                let records = self.bus.fetch(&at, from, 10_000, 1 << 24).await.unwrap();
                let Some(last) = records.last() else { break };
                from = last.offset + 1;
                all.extend(records);
            }
        }
        all
    }

    pub async fn events(&self) -> Vec<BehaviourEvent> {
        let records = self.records(topic::EVENTS).await;
        records.iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
    }

    /// All of the quarantine, with what was sent.
    pub async fn rejected(&self) -> Vec<Entry> {
        let page = quarantine::list(self.bus.as_ref(), quarantine::PAGE_MAX, None).await.unwrap();
        let mut entries = Vec::new();
        for entry in page.entries {
            entries.push(quarantine::show(self.bus.as_ref(), &entry.id).await.unwrap().unwrap());
        }
        entries
    }
}

/// A change of a write key, as capture writes it. A truncate is of the whole table.
pub fn key_change(op: &str, lsn: u64, id: u128, key: &str, revoked: bool) -> NewRecord {
    let id = uuid::Uuid::from_u128(id).to_string();
    let hash: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let row = json!({"write_key_id": id, "name": "web shop", "key_hash": hash,
        "created_at": NOW, "revoked_at": revoked.then_some(NOW)});
    let (before, after) = match op {
        "d" => (row, Value::Null),
        "t" => (Value::Null, Value::Null),
        _ => (Value::Null, row),
    };
    let change = json!({"before": before, "after": after, "op": op, "ts_us": 0, "source": {"db": "d",
        "schema": "public", "table": "write_key", "lsn": lsn, "seq": 0, "tx": 1, "ts_us": 0, "snapshot": false}});
    let (topic, key) = (topic::crm("write_key"), Some(id.into()));
    NewRecord { topic, key, value: Some(change.to_string().into()), ..NewRecord::default() }
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub fn tokeniser() -> Tokeniser {
    Tokeniser::new(b"the tests' key")
}

/// Status and body of an answer; the body is JSON, or null where there is none.
pub async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A sound event of a batch.
pub fn view(visitor: &str, message: &str) -> Value {
    json!({"type": "track", "event": "Product Viewed", "anonymousId": visitor, "messageId": message,
        "timestamp": "2026-03-01T11:59:59Z", "properties": {"product_id": "p-1", "price": 9.5}})
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Waits for a condition.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("in 10 s it did not come true that {what}");
}
