//! A small house: a bus, both loops, both stores in folders of their own.

use bus::{Bus, MemoryBus, NewRecord, Step, TopicPartition, TopicSpec};
use engine_duckdb::DuckDb;
use engine_fjall::{FjallProfiles, Options, Store};
use model::topic;
use runtime::{SystemClock, Telemetry};
use serde_json::{Value as Json, json};
use serving::tables::{TABLES, VIEWS};
use serving::{
    Analytics, Config, Freshness, Limits, Profiles, Progress, ServingError, Work, run_analytics, run_profiles,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A member of the tests.
pub const MEMBER: &str = "018f0000-0000-7000-8000-0000000000aa";
/// An order of the tests.
pub const ORDER: &str = "018f0000-0000-7000-8000-0000000000bb";

/// A bus with all topics.
pub async fn bus() -> Arc<MemoryBus> {
    let bus = Arc::new(MemoryBus::new());
    for (name, partitions) in topic::all() {
        bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
    }
    bus
}

/// Says that a group has read everything of some topics.
pub async fn commit_all(bus: &MemoryBus, group: &str, of: impl Fn(&str) -> bool) {
    let mut consumed = Vec::new();
    for (name, partitions) in topic::all().into_iter().filter(|(name, _)| of(name)) {
        for partition in 0..partitions {
            let at = TopicPartition::new(name.clone(), partition);
            let high = bus.watermarks(&at).await.unwrap().high;
            consumed.push((at, high));
        }
    }
    bus.step(Step { group: group.to_owned(), consumed, ..Step::default() }).await.unwrap();
}

/// Says that processing has taken in all that there is.
pub async fn processed(bus: &MemoryBus) {
    let inputs = topic::identify_inputs();
    commit_all(bus, "processing.identify", |name| inputs.iter().any(|input| input == name)).await;
    commit_all(bus, "processing.fold", |name| name == topic::SIGNALS).await;
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 30 s: {what}");
}

/// Both loops, running.
pub struct House {
    pub bus: Arc<MemoryBus>,
    pub analytics: Arc<DuckDb>,
    pub analytics_progress: Arc<Progress>,
    pub profiles: Profiles,
    pub profiles_progress: Arc<Progress>,
    pub freshness: Freshness,
    stop: CancellationToken,
    loops: Vec<JoinHandle<Result<(), ServingError>>>,
}

impl House {
    pub async fn start(bus: Arc<MemoryBus>, folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let freshness = Freshness::default();
        let work = || Work {
            config: Config::default(),
            bus: bus.clone(),
            progress: Arc::default(),
            freshness: freshness.clone(),
            clock: Arc::new(SystemClock),
            meter: Telemetry::default().meter(model::Layer::Serving),
        };
        let (columns, documents) = (work(), work());
        let (analytics_progress, profiles_progress) = (Arc::clone(&columns.progress), Arc::clone(&documents.progress));
        let settings = engine_duckdb::Config { memory_mb: 256, readers: 2, ..engine_duckdb::Config::default() };
        let analytics = Arc::new(DuckDb::open(&folder.join("analytics"), &settings).unwrap());
        analytics.migrate(&TABLES, &VIEWS).await.unwrap();
        let store = Store::open(&folder.join("bus"), Options::default()).unwrap();
        let profiles = Profiles::new(Arc::new(FjallProfiles::open(&store, folder).unwrap()));
        let columns = run_analytics(columns, analytics.clone(), stop.clone());
        let documents = run_profiles(documents, profiles.clone(), stop.clone());
        let loops = vec![
            tokio::spawn(columns),
            tokio::spawn(async move {
                let _store = store;
                documents.await
            }),
        ];
        Self { bus, analytics, analytics_progress, profiles, profiles_progress, freshness, stop, loops }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        for ended in self.ended().await {
            ended.unwrap();
        }
    }

    /// How both loops ended.
    pub async fn ended(&mut self) -> Vec<Result<(), ServingError>> {
        let mut ended = Vec::new();
        for task in self.loops.drain(..) {
            ended.push(tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap());
        }
        ended
    }

    /// Waits until both loops have all that the bus has.
    pub async fn settled(&self) {
        let mut ends = std::collections::BTreeMap::new();
        for (name, partitions) in topic::all() {
            for partition in 0..partitions {
                let at = TopicPartition::new(name.clone(), partition);
                let high = self.bus.watermarks(&at).await.unwrap().high;
                ends.insert(at, high);
            }
        }
        let both =
            async { tokio::join!(self.analytics_progress.reached(&ends), self.profiles_progress.reached(&ends)) };
        tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    }

    /// An answer's rows as JSON text.
    pub async fn ask(&self, sql: &str) -> String {
        let limits = Limits::new(&Config::default(), None, None);
        serde_json::to_string(&self.analytics.query(sql, Vec::new(), limits).await.unwrap().rows).unwrap()
    }
}

/// A record of a topic.
pub fn record(topic: &str, key: &str, value: Option<&Json>) -> NewRecord {
    NewRecord {
        topic: topic.to_owned(),
        key: Some(key.to_owned().into()),
        value: value.map(|value| value.to_string().into()),
        ..NewRecord::default()
    }
}

/// A change of a table of the store, as capture writes it.
pub fn change(table: &str, key: &str, op: &str, lsn: u64, row: &Json) -> NewRecord {
    let (before, after) = if op == "d" { (row, &Json::Null) } else { (&Json::Null, row) };
    let source = json!({"db": "d", "schema": "crm", "table": table, "lsn": lsn, "seq": 0, "tx": 1, "ts_us": 1, "snapshot": false});
    let value = json!({"before": before, "after": after, "op": op, "ts_us": 1, "source": source});
    record(&topic::crm(table), key, Some(&value))
}

/// The member of the tests, at a version.
pub fn member(lsn: u64, status: &str) -> NewRecord {
    let row = json!({
        "member_id": MEMBER, "member_no": "M1", "status": status, "tier_code": "gold", "enrolled_at": "2024-01-01T00:00:00Z",
        "attributes": {"shirt": "L"}, "row_version": 1, "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
    });
    change("member", MEMBER, if lsn == 1 { "c" } else { "u" }, lsn, &row)
}

/// The order of the tests, at a version, of a member or a guest.
pub fn order(lsn: u64, member: Option<&str>, net: i64) -> NewRecord {
    let row = json!({
        "order_id": ORDER, "source": "pos", "order_no": "1", "channel": "pos", "member_id": member, "business_date": "2024-01-02",
        "placed_at": "2024-01-02T00:00:00Z", "currency": "USD", "status": "paid", "units": "1.0000", "gross_minor": net,
        "discount_minor": 0, "tax_minor": 0, "shipping_minor": 0, "net_minor": net, "total_minor": net, "coupon_codes": [],
    });
    change("sales_order", member.unwrap_or(ORDER), if lsn == 2 { "c" } else { "u" }, lsn, &row)
}

/// An event of a visitor, resolved.
pub fn event(number: usize, person: &str, trace: &str) -> NewRecord {
    let now = runtime::Clock::now(&SystemClock);
    let event = json!({
        "message_id": format!("e{number}"), "name": "page_view", "type": "page", "anonymous_id": "v1", "source": "web",
        "occurred_at": now, "received_at": now,
    });
    let signal = json!({
        "person": person, "trace": trace, "occurred_at": now, "received_at": now,
        "cause": {"topic": "behaviour.events", "partition": 0, "offset": number}, "body": {"event": {"event": event}},
    });
    record(topic::SIGNALS, person, Some(&signal))
}

/// Features of a person.
pub fn features(person: &str, value: u32) -> NewRecord {
    let now = runtime::Clock::now(&SystemClock);
    let cause = json!({"topic": topic::SIGNALS, "partition": 0, "offset": 0});
    let features =
        json!({"person": person, "features": {"views_24h": value}, "as_of": now, "received_at": now, "cause": cause});
    record(topic::FEATURES, person, Some(&features))
}
