//! Durable accepts of behaviour events over loopback HTTP, in batches of 100, beside raw appends of the same bytes.

use super::figure::{Figure, percentile};
use super::load::{Scratch, product_viewed};
use anyhow::{Context, Result, ensure};
use bus::{Bus, NewRecord, TopicSpec};
use contract::events::Registry;
use gateway::Gateway;
use model::change::{Change, Op, Source};
use model::{Layer, Tokeniser, topic};
use runtime::{SystemClock, Tasks, Telemetry, http};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: u64 = 100;
const CONNECTIONS: usize = 8;
const WRITE_KEY: &str = "bench";

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("gateway")?;
    let store = engine_fjall::Store::open(&scratch.path().join("log"), engine_fjall::Options::default())?;
    let bus: Arc<dyn Bus> = store.bus();
    for (name, partitions) in topic::all() {
        bus.create_topic(&TopicSpec::new(name, partitions)).await?;
    }
    // What capture would have brought: the key, and the word that its first snapshot is done.
    let captured = NewRecord {
        topic: topic::CAPTURE_PROGRESS.to_owned(),
        value: Some(r#"{"lsn":1,"ts_us":0}"#.into()),
        ..NewRecord::default()
    };
    bus.produce(vec![write_key()?, captured]).await?;
    let tasks = Tasks::default();
    let address = open(&tasks, Arc::clone(&bus)).await?;
    let (accepted, mut times, size) = load(address, time).await?;
    let figure = accepted as f64 / time.as_secs_f64();
    tasks.stop().await;
    drop((bus, store));
    let raw = scratch.path().join("raw");
    let record = usize::try_from(size)?;
    let reference =
        tokio::task::spawn_blocking(move || engine_fjall::bench::raw_append(&raw, record, BATCH as usize, time))
            .await??;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![Figure::new("gateway", figure, "events/s").beside(reference).spread(p50, p99)])
}

/// The write key's change record.
fn write_key() -> Result<NewRecord> {
    let row = json!({ "write_key_id": uuid::Uuid::now_v7(), "name": "bench", "key_hash": hex::encode(Sha256::digest(WRITE_KEY)), "revoked_at": null });
    let source = Source {
        db: "bench".to_owned(),
        schema: "crm".to_owned(),
        table: "write_key".to_owned(),
        lsn: 1,
        seq: 0,
        tx: 0,
        ts_us: 0,
        snapshot: true,
    };
    let after = row.as_object().cloned();
    let (unchanged, omitted) = (Vec::new(), Vec::new());
    let change = Change { before: None, after, unchanged, omitted, op: Op::Read, source, ts_us: 0 };
    let value = serde_json::to_vec(&change)?;
    Ok(NewRecord {
        topic: topic::crm("write_key"),
        partition: Some(0),
        value: Some(value.into()),
        ..NewRecord::default()
    })
}

async fn open(tasks: &Tasks, bus: Arc<dyn Bus>) -> Result<SocketAddr> {
    let meter = Telemetry::default().meter(Layer::Gateway);
    let (clock, contracts) = (Arc::new(SystemClock), Arc::new(Registry::embedded()));
    let gateway =
        Arc::new(Gateway::new(gateway::Config::default(), bus, Tokeniser::new(b"bench"), contracts, clock, meter));
    let (follower, stop) = (Arc::clone(&gateway), tasks.stop_of(Layer::Gateway));
    tasks.spawn(Layer::Gateway, "write_keys", async move { follower.follow_write_keys(stop).await });
    let listener = http::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    tasks.spawn(Layer::Gateway, "http", http::serve(listener, gateway.router(), tasks.stop_of(Layer::Gateway)));
    while !gateway.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(address)
}

/// Sends batches on several connections; returns events accepted, the time of each batch, and the size of an event.
async fn load(address: SocketAddr, time: Duration) -> Result<(u64, Vec<Duration>, u64)> {
    let events: Vec<_> = (0..BATCH).map(product_viewed).collect();
    let body = serde_json::to_vec(&json!({ "batch": events, "sentAt": jiff::Timestamp::now().to_string() }))?;
    let (size, body) = (body.len() as u64 / BATCH, bytes::Bytes::from(body));
    let http = reqwest::Client::new();
    let end = Instant::now() + time;
    let connections = (0..CONNECTIONS).map(|_| {
        let (http, body) = (http.clone(), body.clone());
        tokio::spawn(async move {
            let (mut accepted, mut times) = (0, Vec::new());
            while Instant::now() < end {
                let start = Instant::now();
                let request = http.post(format!("http://{address}/v1/batch")).basic_auth(WRITE_KEY, Some(""));
                let answer: serde_json::Value = request.body(body.clone()).send().await?.json().await?;
                ensure!(answer["rejected"] == 0, "the gateway answered {answer}");
                accepted += BATCH;
                times.push(start.elapsed());
            }
            anyhow::Ok((accepted, times))
        })
    });
    let (mut accepted, mut times) = (0, Vec::new());
    for connection in connections.collect::<Vec<_>>() {
        let (events, of) = connection.await.context("a connection failed")??;
        accepted += events;
        times.extend(of);
    }
    Ok((accepted, times, size))
}
