//! Signals through both stages of processing, on one core: events that wait on the log until processing starts.

use super::figure::Figure;
use super::load::Scratch;
use anyhow::{Context, Result, ensure};
use bus::{Bus, NewRecord, TopicPartition, TopicSpec};
use contract::Definitions;
use model::behaviour::{BehaviourEvent, EventType, name};
use model::{Layer, Timestamp, topic};
use runtime::{SystemClock, Tasks, Telemetry};
use serde_json::{Map, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Signals a second of asked-for time that wait on the log: about what one core works off.
const SIGNALS_PER_SECOND: u64 = 20_000;
const VISITORS: u64 = 20_000;
const FINISH_MAX: Duration = Duration::from_secs(600);

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("processing")?;
    let path = scratch.path().join("log");
    let signals = SIGNALS_PER_SECOND * time.as_secs();
    // A runtime of one thread: the figure is of one core. The log's own writer thread has the other.
    let worked = tokio::task::spawn_blocking(move || -> Result<f64> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(path, signals))
    });
    let figure = signals as f64 / worked.await.context("processing failed")??;
    Ok(vec![Figure::new("processing", figure, "signals/s")])
}

async fn work(path: PathBuf, signals: u64) -> Result<f64> {
    let bus: Arc<dyn Bus> = engine_fjall::Store::open(&path, engine_fjall::Options::default())?.bus();
    for (name, partitions) in topic::all() {
        bus.create_topic(&TopicSpec::new(name, partitions)).await?;
    }
    let now = Timestamp::now();
    let mut batch = Vec::new();
    for number in 0..signals {
        batch.push(record(&event(number, now))?);
        if batch.len() == 2_000 {
            bus.produce(std::mem::take(&mut batch)).await?;
        }
    }
    bus.produce(batch).await?;
    let tasks = Tasks::default();
    let begin = Instant::now();
    let processing = processing::run(
        processing::ProcessingConfig::default(),
        Arc::clone(&bus),
        Arc::new(Definitions::embedded()),
        Arc::new(SystemClock),
        Telemetry::default().meter(Layer::Processing),
        tasks.stop_of(Layer::Processing),
    );
    tasks.spawn(Layer::Processing, "fold", processing);
    for (name, group) in [(topic::EVENTS, topic::IDENTIFY_GROUP), (topic::SIGNALS, topic::FOLD_GROUP)] {
        finished(bus.as_ref(), name, group).await?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    tasks.stop().await;
    Ok(seconds)
}

/// Waits until a group has read a topic to its end.
async fn finished(bus: &dyn Bus, name: &str, group: &str) -> Result<()> {
    let begin = Instant::now();
    let partitions = topic::all().into_iter().find(|(of, _)| of == name).map_or(0, |(_, partitions)| partitions);
    for partition in 0..partitions {
        let at = TopicPartition::new(name, partition);
        while bus.committed(group, &at).await?.unwrap_or(0) < bus.watermarks(&at).await?.high {
            ensure!(begin.elapsed() < FINISH_MAX, "{group} does not finish {at}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

fn record(event: &BehaviourEvent) -> Result<NewRecord> {
    let key = event.anonymous_id.clone().map(bytes::Bytes::from);
    Ok(NewRecord {
        topic: topic::EVENTS.to_owned(),
        key,
        value: Some(serde_json::to_vec(event)?.into()),
        ..NewRecord::default()
    })
}

fn event(number: u64, now: Timestamp) -> BehaviourEvent {
    let added = number % 10 == 9;
    let properties =
        json!({ "product_id": (number % 500).to_string(), "price": 2.49, "quantity": 1, "currency": "USD" });
    BehaviourEvent {
        message_id: format!("bench-{number:012}"),
        name: if added { name::PRODUCT_ADDED } else { name::PRODUCT_VIEWED }.to_owned(),
        kind: EventType::Track,
        // Visits of ten events each, as shoppers make them.
        anonymous_id: Some(format!("visitor-{}", number / 10 % VISITORS)),
        user_id: None,
        previous_id: None,
        identities: Vec::new(),
        occurred_at: now,
        received_at: now,
        context: Map::new(),
        properties: properties.as_object().cloned().unwrap_or_default(),
        consent: None,
        enrichment: Map::new(),
        source: "bench".to_owned(),
        contract_version: 1,
    }
}
