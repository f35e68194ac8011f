//! A house of one layer: the embedded bus, processing, and a clock that is set by hand.

use bus::{Bus, NewRecord, TopicPartition, TopicSpec};
use bytes::Bytes;
use contract::Definitions;
use engine_fjall::{Options, Store};
use model::topic::{FOLD_GROUP, IDENTIFY_GROUP};
use model::{Layer, Timestamp, topic};
use processing::{ProcessingConfig, ProcessingError};
use runtime::{Clock, Telemetry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// 2026-03-01T12:00:00Z, where all tests start.
pub const START: i64 = 1_772_366_400;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// A clock that stands where it is put.
#[derive(Default)]
pub struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

pub struct Rig {
    dir: tempfile::TempDir,
    store: Option<Store>,
    pub clock: Arc<HandClock>,
    pub telemetry: Telemetry,
}

/// The last value of each key of each derived topic, without what depends on the way there.
pub type Final = BTreeMap<String, BTreeMap<String, Value>>;

pub fn at(minute: i64) -> String {
    Timestamp::from_second(START + minute * 60).unwrap().to_string()
}

pub fn id(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

fn record(topic: &str, key: &str, value: &Value) -> NewRecord {
    let (key, value) = (Some(Bytes::from(key.to_owned())), Some(Bytes::from(value.to_string())));
    NewRecord { topic: topic.to_owned(), key, value, ..NewRecord::default() }
}

pub fn change(table: &str, key: &str, lsn: u64, before: &Value, after: &Value) -> NewRecord {
    let op = match (before.is_null(), after.is_null()) {
        (true, _) => "c",
        (false, false) => "u",
        (false, true) => "d",
    };
    let source = json!({"db": "d", "schema": "crm", "table": table, "lsn": lsn, "seq": 0, "tx": 1, "ts_us": START * 1_000_000, "snapshot": false});
    record(&topic::crm(table), key, &json!({"before": before, "after": after, "op": op, "source": source, "ts_us": 0}))
}

/// A truncate of a table, in every partition.
pub fn truncate(table: &str, lsn: u64, snapshot: bool) -> Vec<NewRecord> {
    let source = json!({"db": "d", "schema": "crm", "table": table, "lsn": lsn, "seq": 0, "tx": 0, "ts_us": START * 1_000_000, "snapshot": snapshot});
    let value = json!({"before": null, "after": null, "op": "t", "source": source, "ts_us": 0});
    let partitions: BTreeMap<String, i32> = topic::all().into_iter().collect();
    let in_partition = |partition| NewRecord { partition: Some(partition), ..record(&topic::crm(table), "", &value) };
    (0..partitions[&topic::crm(table)]).map(in_partition).collect()
}

/// What capture says at the end of a snapshot.
pub fn snapshot_complete() -> NewRecord {
    record(topic::CAPTURE_PROGRESS, "", &json!({"lsn": 1, "ts_us": 0, "snapshot": "complete"}))
}

pub fn event(
    message: &str,
    name: &str,
    device: Option<&str>,
    user: Option<&str>,
    minute: i64,
    more: &Value,
) -> NewRecord {
    let mut value = json!({
        "message_id": message, "name": name, "type": "track", "anonymous_id": device, "user_id": user,
        "occurred_at": at(minute), "received_at": at(minute.max(0)), "source": "web",
    });
    for (key, more) in more.as_object().unwrap() {
        value[key] = more.clone();
    }
    record(topic::EVENTS, device.or(user).unwrap_or(""), &value)
}

pub fn order(n: u64, lsn: u64, minute: i64, more: &Value) -> NewRecord {
    let mut row = json!({
        "order_id": id(n), "channel": "pos", "store_id": null, "member_id": null, "contact": null, "anonymous_id": null,
        "placed_at": at(minute), "status": "paid", "units": "2", "net_minor": 1_000, "currency": "USD",
    });
    for (key, more) in more.as_object().unwrap() {
        row[key] = more.clone();
    }
    change("sales_order", &id(n).to_string(), lsn, &Value::Null, &row)
}

pub fn returned(n: u64, lsn: u64, of: u64, status: &str, net_minor: i64) -> NewRecord {
    let row = json!({
        "return_id": id(n), "order_id": id(of), "member_id": null, "status": status, "returned_at": at(0), "units": "1",
        "net_minor": net_minor,
    });
    change("sales_return", &id(of).to_string(), lsn, &Value::Null, &row)
}

pub fn identity(n: u64, member: u64, kind: &str, token: &str) -> Value {
    json!({"identity_id": id(n), "member_id": id(member), "kind": kind, "token": token, "strength": "strong", "created_at": at(0)})
}

pub fn member(n: u64, lsn: u64, enrolled_minute: i64) -> NewRecord {
    let row = json!({
        "member_id": id(n), "member_no": format!("no-{n}"), "status": "active", "tier_code": "gold",
        "enrolled_at": at(enrolled_minute), "timezone": null,
    });
    change("member", &id(n).to_string(), lsn, &Value::Null, &row)
}

impl Rig {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(START)));
        let store = Some(Store::open(dir.path(), Options::default()).unwrap());
        let rig = Self { dir, store, clock, telemetry: Telemetry::default() };
        for (name, partitions) in topic::all() {
            rig.bus().create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
        }
        rig
    }

    pub fn bus(&self) -> Arc<dyn Bus> {
        self.store.as_ref().unwrap().bus()
    }

    /// Closes the database and opens it again.
    pub fn reopen(&mut self) {
        drop(self.store.take());
        self.store = Some(Store::open(self.dir.path(), Options::default()).unwrap());
    }

    pub fn set_minute(&self, minute: i64) {
        self.clock.0.store(START + minute * 60, Ordering::SeqCst);
    }

    pub async fn feed(&self, records: Vec<NewRecord>) {
        self.bus().produce(records).await.unwrap();
    }

    /// Runs processing until nothing is left to do.
    pub async fn process(&self) {
        self.process_with(ProcessingConfig::default()).await;
    }

    pub async fn process_with(&self, config: ProcessingConfig) {
        let (running, stop) = self.start(config, Definitions::embedded());
        let deadline = Instant::now() + PATIENCE;
        while !self.is_quiet().await {
            assert!(!running.is_finished(), "processing ended: {:?}", running.await);
            assert!(Instant::now() < deadline, "processing does not come to an end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    /// Runs processing until something holds that no offset tells of.
    pub async fn process_until(&self, holds: impl AsyncFn(&Self) -> bool) {
        self.process_by(Definitions::embedded(), holds).await;
    }

    /// The same by other definitions.
    pub async fn process_by(&self, definitions: Definitions, holds: impl AsyncFn(&Self) -> bool) {
        let (running, stop) = self.start(ProcessingConfig::default(), definitions);
        let deadline = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(!running.is_finished(), "processing ended: {:?}", running.await);
            assert!(Instant::now() < deadline, "what should be does not come about");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    fn start(
        &self,
        config: ProcessingConfig,
        definitions: Definitions,
    ) -> (JoinHandle<Result<(), ProcessingError>>, CancellationToken) {
        let (stop, meter) = (CancellationToken::new(), self.telemetry.meter(Layer::Processing));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let run = processing::run(config, self.bus(), Arc::new(definitions), clock, meter, stop.clone());
        (tokio::spawn(run), stop)
    }

    /// Why processing does not start.
    pub async fn refused(&self, config: ProcessingConfig) -> String {
        let (running, _) = self.start(config, Definitions::embedded());
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err().to_string()
    }

    /// Starts processing and cuts it off in the middle, as a kill would: its tasks are dropped where they stand.
    pub async fn process_for_a_moment(&self, batch_records: usize) {
        let config = ProcessingConfig { batch_records, ..ProcessingConfig::default() };
        let (running, _) = self.start(config, Definitions::embedded());
        let (before, deadline) = (self.signals().await, Instant::now() + PATIENCE);
        while self.signals().await == before && !self.is_quiet().await {
            assert!(!running.is_finished(), "processing ended: {:?}", running.await);
            assert!(Instant::now() < deadline, "processing writes nothing");
            tokio::task::yield_now().await;
        }
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        // The stages have tasks of their own, which let go of the bus a moment later; here are the store's hold on it, and this one.
        let bus = self.bus();
        while Arc::strong_count(&bus) > 2 {
            assert!(Instant::now() < deadline, "a stage goes on after it was cut off");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn signals(&self) -> i64 {
        let mut sum = 0;
        for partition in 0..topic::SHARDS {
            sum += self.bus().watermarks(&TopicPartition::new(topic::SIGNALS, partition)).await.unwrap().high;
        }
        sum
    }

    async fn is_read(&self, group: &str, topics: &[String]) -> bool {
        let partitions: BTreeMap<String, i32> = topic::all().into_iter().collect();
        for topic in topics {
            for partition in 0..partitions[topic] {
                let at = TopicPartition::new(topic.as_str(), partition);
                let high = self.bus().watermarks(&at).await.unwrap().high;
                if self.bus().committed(group, &at).await.unwrap().unwrap_or(0) < high {
                    return false;
                }
            }
        }
        true
    }

    async fn is_quiet(&self) -> bool {
        let now = u64::try_from(self.clock.now().as_microsecond()).unwrap() ^ (1 << 63);
        let due = |key: &Bytes| u64::from_be_bytes(key[2..10].try_into().unwrap()) <= now;
        let timers = self.bus().state_scan("processing.timers", &[], 100_000).unwrap();
        let inputs = topic::identify_inputs().into_iter().chain([topic::CAPTURE_PROGRESS.to_owned()]);
        if !self.is_read(IDENTIFY_GROUP, &inputs.collect::<Vec<_>>()).await {
            return false;
        }
        // Offsets may show a moment before the records of their step do.
        let signals = self.signals().await;
        let read =
            self.is_read(FOLD_GROUP, &[topic::SIGNALS.to_owned()]).await && !timers.iter().any(|(key, _)| due(key));
        // A hand-over may be written to a partition that was looked at already: then there are more signals than before.
        read && self.signals().await == signals
    }

    /// All records of a topic, oldest first within a partition.
    pub async fn read(&self, topic: &str) -> Vec<(String, Option<Value>)> {
        let partitions: BTreeMap<String, i32> = topic::all().into_iter().collect();
        let mut records = Vec::new();
        for partition in 0..partitions[topic] {
            let (at, mut from) = (TopicPartition::new(topic, partition), 0);
            loop {
                let read = self.bus().fetch(&at, from, 10_000, 1 << 24).await.unwrap();
                let Some(last) = read.last() else { break };
                from = last.offset + 1;
                for record in read {
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    records.push((key, record.value.map(|value| serde_json::from_slice(&value).unwrap())));
                }
            }
        }
        records
    }

    /// Where everything ended.
    pub async fn ends(&self) -> Final {
        let mut ends = Final::new();
        for topic in [topic::FEATURES, topic::TAGS, topic::COHORTS, topic::INTENTS, topic::SESSIONS, topic::IDENTITY] {
            let last: BTreeMap<String, Option<Value>> = self.read(topic).await.into_iter().collect();
            let kept = last.into_iter().filter_map(|(key, value)| {
                let mut value = value?;
                let fields = value.as_object_mut().unwrap();
                for passing in ["as_of", "received_at", "cause", "move_no"] {
                    fields.remove(passing);
                }
                if topic == topic::IDENTITY {
                    fields.remove("since");
                }
                let nothing =
                    |name: &str| fields.get(name).is_some_and(|list| list.as_array().is_some_and(Vec::is_empty));
                let alone = topic == topic::IDENTITY && fields["trace"] == fields["person"];
                let gone =
                    nothing("tags") || nothing("cohorts") || alone || fields.get("status") == Some(&json!("retracted"));
                (!gone).then_some((key, value))
            });
            ends.insert(topic.to_owned(), kept.collect());
        }
        ends
    }

    pub async fn features(&self, person: &str) -> Value {
        self.ends().await[topic::FEATURES].get(person).map_or(Value::Null, |value| value["features"].clone())
    }

    pub async fn tags(&self, person: &str) -> Vec<String> {
        let ends = self.ends().await;
        let tags = ends[topic::TAGS].get(person).map_or(Vec::new(), |value| value["tags"].as_array().unwrap().clone());
        tags.iter().map(|tag| tag["tag"].as_str().unwrap().to_owned()).collect()
    }
}
