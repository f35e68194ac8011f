//! PostgreSQL commit to record durable on the bus: how fast a backlog drains, beside `pg_recvlogical` on the same log, and how long
//! one commit takes at 2,000 a second.

use super::figure::{Figure, percentile};
use super::load::Scratch;
use anyhow::{Context, Result, ensure};
use bus::{Bus, TopicPartition, TopicSpec};
use engine_postgres::{Cluster, Settings};
use futures_util::future::try_join_all;
use model::{Layer, Tokeniser, topic};
use runtime::{Tasks, Telemetry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows of the backlog, and rows a transaction.
const BACKLOG: i64 = 300_000;
const TRANSACTION: i64 = 100;
/// Commits a second while latency is measured.
const RATE: u64 = 2_000;
/// Connections that commit while latency is measured: one alone may not come to the rate.
const WRITERS: u64 = 4;
const DATABASE: &str = "bench";

struct Bench {
    cluster: Cluster,
    bus: Arc<dyn Bus>,
    telemetry: Telemetry,
    client: engine_postgres::Client,
}

pub async fn run(time: Duration) -> Result<Vec<Figure>> {
    let scratch = Scratch::new("capture")?;
    let bench = prepare(&scratch).await?;
    // The slot is made and the empty tables are read; then capture rests while the backlog grows.
    let tasks = bench.start();
    bench.captured(bench.flushed().await?).await?;
    tasks.stop().await;
    bench.client.batch_execute("select pg_create_logical_replication_slot('reference', 'pgoutput')").await?;
    bench.fill().await?;
    let end = bench.flushed().await?;
    let reference = BACKLOG as f64 / bench.reference(end).await?;
    let begin = Instant::now();
    let tasks = bench.start();
    bench.captured(end).await?;
    let figure = BACKLOG as f64 / begin.elapsed().as_secs_f64();
    let mut times = bench.latency(time).await?;
    tasks.stop().await;
    bench.cluster.stop().await;
    let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
    Ok(vec![
        Figure::new("capture_latency", p99, "ms p99 at 2,000 commits/s").spread(p50, p99),
        Figure::new("capture", figure, "changes/s").beside(reference),
    ])
}

async fn prepare(scratch: &Scratch) -> Result<Bench> {
    let cluster = Cluster::start(Settings::new(scratch.path().join("postgres"))).await?;
    cluster.create_database(DATABASE).await?;
    let mut config = cluster.config();
    config.dbname(DATABASE);
    let telemetry = Telemetry::default();
    let meter = telemetry.meter(Layer::Oltp);
    oltp::Oltp::new(&oltp::Config::default(), config.clone(), Tokeniser::new(b"bench"), meter)?.migrate().await?;
    let bus: Arc<dyn Bus> =
        engine_fjall::Store::open(&scratch.path().join("log"), engine_fjall::Options::default())?.bus();
    for (name, partitions) in topic::all() {
        bus.create_topic(&TopicSpec::new(name, partitions)).await?;
    }
    let client = engine_postgres::testing::connect(&config).await?;
    Ok(Bench { cluster, bus, telemetry, client })
}

impl Bench {
    fn start(&self) -> Tasks {
        let tasks = Tasks::default();
        let mut config = self.cluster.config();
        config.dbname(DATABASE);
        let meter = self.telemetry.meter(Layer::Capture);
        let (bus, stop) = (Arc::clone(&self.bus), tasks.stop_of(Layer::Capture));
        tasks.spawn(Layer::Capture, "stream", capture::run(capture::Config::default(), config, bus, meter, stop));
        tasks
    }

    async fn flushed(&self) -> Result<u64> {
        let lsn: String = self.client.query_one("select pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
        Ok(model::position::parse_lsn(&lsn)?)
    }

    /// Waits until capture has come so far.
    async fn captured(&self, lsn: u64) -> Result<()> {
        let at = TopicPartition::new(topic::CAPTURE_PROGRESS, 0);
        let begin = Instant::now();
        loop {
            ensure!(begin.elapsed() < Duration::from_secs(300), "capture does not come to {lsn}");
            let high = self.bus.watermarks(&at).await?.high;
            let last = if high > 0 { self.bus.fetch(&at, high - 1, 1, 1 << 16).await? } else { Vec::new() };
            let progress = last.first().and_then(|record| record.value.as_ref());
            let progress = progress.and_then(|value| serde_json::from_slice::<serde_json::Value>(value).ok());
            if progress.and_then(|progress| progress["lsn"].as_u64()).is_some_and(|reached| reached >= lsn) {
                return Ok(());
            }
            self.bus.wait(&[(at.clone(), high)], Duration::from_millis(200)).await?;
        }
    }

    async fn fill(&self) -> Result<()> {
        let insert = "insert into crm.product (product_id, product_code, title, brand, category)
            select gen_random_uuid(), $1 || '-' || n, 'A product of the bench', 'National', 'BREAD' from generate_series(1, $2) n";
        let insert = self.client.prepare(insert).await?;
        for transaction in 0..BACKLOG / TRANSACTION {
            self.client.execute(&insert, &[&format!("p{transaction}"), &i32::try_from(TRANSACTION)?]).await?;
        }
        Ok(())
    }

    /// Seconds that `pg_recvlogical` takes for the same log.
    async fn reference(&self, end: u64) -> Result<f64> {
        let program = self.cluster.installation().program("pg_recvlogical");
        let url = self.cluster.url(DATABASE);
        let end = format!("{:X}/{:X}", end >> 32, end & 0xFFFF_FFFF);
        let begin = Instant::now();
        let mut command = tokio::process::Command::new(program);
        command.args(["--slot", "reference", "--start", "--file", "/dev/null", "--no-loop", "--endpos", &end]);
        command.args(["--option", "proto_version=1", "--option", "publication_names=storewide", "--dbname", &url]);
        let status = command.status().await.context("pg_recvlogical does not start")?;
        ensure!(status.success(), "pg_recvlogical ended with {status}");
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Times from commit to the record being readable on the bus.
    async fn latency(&self, time: Duration) -> Result<Vec<Duration>> {
        let commits = RATE * time.as_secs();
        let mut positions = Vec::new();
        for partition in 0..4 {
            let at = TopicPartition::new(topic::crm("store"), partition);
            let high = self.bus.watermarks(&at).await?.high;
            positions.push((at, high));
        }
        let writing = async {
            let begin = Instant::now();
            try_join_all((0..WRITERS).map(|first| self.write(begin, first, commits))).await?;
            let rate = commits as f64 / begin.elapsed().as_secs_f64();
            ensure!(rate > 0.95 * RATE as f64, "only {rate:.0} commits a second: this is no measurement of {RATE}");
            anyhow::Ok(())
        };
        let (written, times) = tokio::join!(writing, self.read_times(positions, usize::try_from(commits)?));
        written?;
        times
    }

    /// Commits every so-manieth row, each when it is due, on a connection of its own.
    async fn write(&self, begin: Instant, first: u64, commits: u64) -> Result<()> {
        let mut config = self.cluster.config();
        config.dbname(DATABASE);
        let client = engine_postgres::testing::connect(&config).await?;
        let insert = "insert into crm.store (store_id, store_code, name) values (gen_random_uuid(), $1, 'S')";
        let insert = client.prepare(insert).await?;
        for number in (first..commits).step_by(usize::try_from(WRITERS)?) {
            let due = begin + Duration::from_secs(number) / u32::try_from(RATE)?;
            tokio::time::sleep_until(due.into()).await;
            client.execute(&insert, &[&format!("s{number}")]).await?;
        }
        Ok(())
    }

    async fn read_times(&self, mut positions: Vec<(TopicPartition, i64)>, count: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            ensure!(self.bus.wait(&positions, Duration::from_secs(30)).await?, "capture stands still");
            for (at, next) in &mut positions {
                let records = self.bus.fetch(at, *next, 10_000, 16 << 20).await?;
                let now = jiff::Timestamp::now().as_microsecond();
                *next += records.len() as i64;
                for record in &records {
                    let change: serde_json::Value =
                        serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
                    let committed = change["source"]["ts_us"].as_i64().context("a change has its time")?;
                    times.push(Duration::from_micros(u64::try_from(now - committed).unwrap_or(0)));
                }
            }
        }
        Ok(times)
    }
}
