//! A store on a private cluster, furnished, and a load at a steady rate.

use super::load::Scratch;
use anyhow::{Context as _, Result};
use engine_postgres::{Cluster, Settings};
use model::{Layer, Tokeniser};
use oltp::{Command, Context, Done, Oltp};
use runtime::Telemetry;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DATABASE: &str = "bench";
/// SKUs of a furnished store: `bench-1` and on.
pub const SKUS: usize = 300;
/// Seconds of a load before what is measured: connections are made, statements planned.
pub const WARM: u64 = 1;
/// Members of a furnished store: `bench-1` and on.
pub const MEMBERS: usize = 1_000;

/// The store. Its files go with it.
pub struct Shop {
    pub oltp: Oltp,
    pub tokeniser: Tokeniser,
    pub cluster: Cluster,
    pub scratch: Scratch,
}

impl Shop {
    /// An empty, migrated store.
    ///
    /// # Errors
    /// When PostgreSQL does not start.
    pub async fn empty(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let cluster = Cluster::start(Settings::new(scratch.path().join("postgres"))).await?;
        cluster.create_database(DATABASE).await?;
        let mut config = cluster.config();
        config.dbname(DATABASE);
        let tokeniser = Tokeniser::new(b"bench");
        let meter = Telemetry::default().meter(Layer::Oltp);
        let oltp = Oltp::new(&oltp::Config::default(), config, tokeniser.clone(), meter)?;
        oltp.migrate().await?;
        Ok(Self { oltp, tokeniser, cluster, scratch })
    }

    /// With a store `bench`, SKUs, of each of which there is plenty, and members.
    ///
    /// # Errors
    /// As [`Shop::empty`], or when a record is refused.
    pub async fn furnished(name: &str) -> Result<Self> {
        let shop = Self::empty(name).await?;
        let code = |number: usize| format!("bench-{number}");
        let mut commands = vec![command("store", &json!({"store_code": "bench", "name": "Bench"}))?];
        for number in 1..=SKUS {
            commands.push(command("product", &json!({"product_code": code(number), "title": "Bench"}))?);
            commands.push(command("sku", &json!({"sku_code": code(number), "product_code": code(number)}))?);
        }
        for number in 1..=MEMBERS {
            commands.push(command("member", &json!({"member_no": code(number)}))?);
        }
        for number in 1..=SKUS {
            let received = json!({"reference": format!("bench-{number}"), "store_code": "bench",
                "lines": [{"sku_code": code(number), "quantity": "1000000000"}]});
            commands.push(command("stock_receive", &received)?);
        }
        let keyed = |(n, command)| (context(&format!("furnish-{n}")), command);
        for done in shop.oltp.run_batch(commands.into_iter().enumerate().map(keyed).collect()).await?.0 {
            done?;
        }
        Ok(shop)
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        self.cluster.url(DATABASE)
    }

    /// Stops the cluster.
    pub async fn close(self) {
        self.cluster.stop().await;
    }
}

/// A command, from its body as the API takes it.
///
/// # Errors
/// When it is none.
pub fn command(noun: &str, body: &Value) -> Result<Command> {
    Ok(serde_json::from_value(json!({"type": noun, "body": body}))?)
}

/// Who loads, with an idempotency key.
pub fn context(key: &str) -> Context {
    Context {
        actor: "bench".to_owned(),
        request_id: key.to_owned(),
        idempotency_key: Some(key.to_owned()),
        ..Context::default()
    }
}

/// Runs one command that must work.
///
/// # Errors
/// When it does not.
pub async fn run(oltp: &Oltp, key: &str, noun: &str, body: &Value) -> Result<Done> {
    Ok(oltp.run(&context(key), &command(noun, body)?).await?.0)
}

/// Does work number 0, 1 … so many times a second from several connections, and gives how long each took, reckoned from when it was
/// due: a store that falls behind cannot hide it. The first [`WARM`] seconds do not count.
///
/// # Errors
/// The first error of the work.
pub async fn paced<F, W>(rate: u64, time: Duration, connections: u64, work: F) -> Result<Vec<Duration>>
where
    F: Fn(u64) -> W + Clone + Send + 'static,
    W: Future<Output = Result<()>> + Send,
{
    let start = Instant::now();
    let total = rate * (WARM + time.as_secs());
    let tasks = (0..connections).map(|connection| {
        let work = work.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for number in (connection..total).step_by(connections as usize) {
                let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                work(number).await?;
                if number >= rate * WARM {
                    times.push(due.elapsed());
                }
            }
            anyhow::Ok(times)
        })
    });
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await.context("a connection failed")??);
    }
    Ok(times)
}
