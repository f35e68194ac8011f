//! `demo`: the whole way of a signal on real baskets, through the public doors only.

pub mod catalogue;
pub mod driver;
mod report;
pub mod shopper;
mod words;

use crate::cli::Demo;
use crate::client::{Client, OWNER_KEY};
use crate::commands::interrupted;
use crate::datadir::DataDir;
use crate::house::House;
use crate::import::{Journey, JourneyOptions, Loaded, Loader};
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use catalogue::Catalogue;
use decisions::receiver;
use driver::{Doors, Driver};
use indicatif::HumanCount;
use model::Layer;
use rand::Rng;
use runtime::config::Config;
use runtime::{SystemClock, Tasks};
use serde_json::{Value, json};
use shopper::Crowd;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Shoppers at once for each signal a second: each acts about every two seconds.
const SHOPPERS_PER_RATE: usize = 2;
/// The demo calls a cart abandoned after so many seconds: nobody watches a demo for half an hour.
const CART_ABANDONED_SECONDS: u64 = 6;
/// How often a reminded member buys.
const REMINDER_WORKS: f64 = 0.5;

/// How often the demo tells how it goes.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Exit code of whoever was asked to stop before the end, as shells know it.
const INTERRUPTED: u8 = 130;
/// Longest wait for the sample to be served; each ask waits half a minute itself.
const SERVED_MAX: Duration = Duration::from_secs(300);

/// Runs `demo`. The exit code says whether anything was lost, doubled or different.
///
/// # Errors
/// When the house does not start, or the sample cannot be loaded.
pub async fn run(options: Demo, config: Config, data_dir: &Path) -> Result<ExitCode> {
    let data = DataDir::open(data_dir)?;
    let log = data.path("storewide.log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
    runtime::telemetry::start_logging_to(file.with_context(|| format!("cannot write {}", log.display()))?);
    let sample = sample()?;
    let tasks = Tasks::default();
    let (reminders, received) = mpsc::channel(1_000);
    let secret = format!("whsec_{}", data.secret("webhook.key")?);
    let receiver = open_receiver(&tasks, &secret, reminders).await?;
    let config = config
        .with("processing.intents.cart_abandoned.after_seconds", CART_ABANDONED_SECONDS)
        .with("decisions.webhook_url", format!("http://{receiver}/"))
        .with("decisions.webhook_secret", secret);
    let settings = Settings::read(&config, data.clone(), &options.engines)?;
    say(&options, &format!("starting all eight layers on {}; the log goes to {}", data_dir.display(), log.display()));
    let house = tokio::select! {
        house = House::start(settings) => house?,
        () = interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let stop = CancellationToken::new();
    let shopping = shop(&options, &house, &data, &sample, received, &stop);
    let outcome = tokio::select! {
        outcome = shopping => outcome,
        failure = house.failed() => Err(anyhow::anyhow!(failure)),
        () = twice(&stop) => {
            say(&options, "stopped before the report was done");
            Ok(ExitCode::from(INTERRUPTED))
        }
    };
    house.stop().await;
    tasks.stop().await;
    if matches!(outcome, Ok(code) if code == ExitCode::SUCCESS) {
        let again = format!("everything is kept; to look around: storewide serve --data-dir {}", data_dir.display());
        say(&options, &again);
    }
    outcome
}

/// Resolves when there is nothing left to do but to stop at once: asked to before the shoppers came, or asked twice. The
/// first ask while they shop cancels `stop`.
async fn twice(stop: &CancellationToken) {
    interrupted().await;
    if stop.is_cancelled() {
        return;
    }
    stop.cancel();
    interrupted().await;
}

async fn shop(
    options: &Demo,
    house: &House,
    data: &DataDir,
    sample: &Path,
    received: mpsc::Receiver<Value>,
    stop: &CancellationToken,
) -> Result<ExitCode> {
    let key = data.stored_secret(OWNER_KEY)?.context("the house has no owner's key")?;
    let client = Client::new(format!("http://{}", house.running().api), key)?;
    say(options, &format!("open http://{}/ to watch\n", house.running().api));
    let journey = Journey::open(sample, JourneyOptions { shift_weeks: shift(data, sample)?, contacts: true })?;
    let loaded = tokio::select! {
        loaded = load(options, &client, data, &journey) => loaded?,
        () = stop.cancelled() => {
            say(options, "stopped while loading; the next demo on this data directory goes on from here");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    let catalogue = Catalogue::read(sample)?;
    let gateway = format!("http://{}", house.running().gateway);
    let doors = Doors::open(client.clone(), gateway, data.stored_secret("demo.write_key")?).await?;
    data.store_secret("demo.write_key", &doors.write_key)?;
    let run = format!("r{:x}", jiff::Timestamp::now().as_millisecond());
    let crowd = Crowd::new(&run, options.seed, options.rate as usize * SHOPPERS_PER_RATE, catalogue);
    let driver = Driver::new(doors, crowd)?;
    house.serving().freshness.reset();
    let reacting = tokio::spawn(react(Arc::clone(&driver), client.clone(), received));
    say(options, &format!("shoppers come in, {} signals a second; Ctrl-C ends it with a report", options.rate));
    tokio::select! {
        () = driver.shop(options.rate, options.seconds, stop.clone()) => {}
        () = tell(options, house, &client, &driver, &run) => {}
    }
    reacting.abort();
    say(options, "\nthe shoppers leave; comparing what was accepted with what is served\n");
    let report = report::make(house, &client, &driver.settle().await, &run, &journey, &loaded).await?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{}", words::report(&report));
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads the sample and waits until all of it is served.
async fn load(options: &Demo, client: &Client, data: &DataDir, journey: &Journey) -> Result<Loaded> {
    let records = HumanCount(journey.records());
    let text = format!(
        "loading 40 real households with a year of baskets, {records} records\n\
         (\"The Complete Journey\" by 84.51° / dunnhumby, CC0)"
    );
    say(options, &text);
    let start = Instant::now();
    let loader = Loader::open(client.clone(), data, journey, !options.json).await?;
    let loaded = loader.load(journey).await?;
    served(client, &loaded.position).await?;
    let text = if loaded.records == 0 {
        "all of it is there from the last time".to_owned()
    } else {
        format!("accepted after {:.1} s, served after {:.1} s", loaded.seconds, start.elapsed().as_secs_f64())
    };
    say(options, &text);
    Ok(loaded)
}

/// Tells how it goes, every few seconds, for ever.
async fn tell(options: &Demo, house: &House, client: &Client, driver: &Driver, run: &str) {
    let start = Instant::now();
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let freshness = house.serving().freshness.summary();
        match words::progress(client, run, start.elapsed(), driver.counts(), freshness).await {
            Ok(line) => say(options, &line),
            Err(error) => tracing::warn!("the serving layer does not answer now: {error:#}"),
        }
    }
}

fn say(options: &Demo, text: &str) {
    tracing::info!("{}", text.trim());
    if !options.json {
        eprintln!("{text}");
    }
}

/// The shipped baskets: beside the program's sources, where the demo is run from.
fn sample() -> Result<PathBuf> {
    let places = [
        PathBuf::from("examples/completejourney"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/completejourney"),
    ];
    match places.iter().find(|place| place.join("transactions.parquet").is_file()) {
        Some(place) => Ok(place.clone()),
        None => bail!(
            "the sample is missing: run the demo from the folder of the sources, which holds examples/completejourney"
        ),
    }
}

/// Weeks to move the sample by: chosen at the first demo on a directory and kept, so that a second one finds its baskets.
fn shift(data: &DataDir, sample: &Path) -> Result<i64> {
    let path = data.path("demo.json");
    if let Ok(text) = std::fs::read_to_string(&path) {
        let note: Value = serde_json::from_str(&text).context("demo.json")?;
        return note["shift_weeks"].as_i64().context("demo.json has no shift_weeks");
    }
    let weeks = Journey::weeks_until(sample, jiff::Timestamp::now())?;
    crate::datadir::write_whole(&path, json!({ "shift_weeks": weeks }).to_string().as_bytes(), 0o644)?;
    Ok(weeks)
}

/// Waits until a write is served, with all that follows from it.
async fn served(client: &Client, position: &str) -> Result<()> {
    let start = Instant::now();
    while !position.is_empty() {
        match client.number("select 1", Some(position)).await {
            Ok(_) => break,
            Err(error) if start.elapsed() > SERVED_MAX => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Opens the receiver of actions: what a marketing system would be.
async fn open_receiver(tasks: &Tasks, secret: &str, reminders: mpsc::Sender<Value>) -> Result<SocketAddr> {
    let listener = runtime::http::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let take = Arc::new(move |action: Value| {
        // A full channel means that shoppers are busy: this reminder is ignored, as many are.
        let _ignored = reminders.try_send(action);
    });
    let (router, _) = receiver::router(secret.parse()?, Arc::new(SystemClock), take);
    tasks.spawn(Layer::Decisions, "receiver", runtime::http::serve(listener, router, tasks.stop_of(Layer::Decisions)));
    Ok(address)
}

/// Reminded members buy, sometimes.
async fn react(driver: Arc<Driver>, client: Client, mut received: mpsc::Receiver<Value>) -> Result<()> {
    let answer = client.sql("select cast(member_id as varchar), member_no from members", None, 100_000).await?;
    let household = |row: &Vec<Value>| {
        let number = row[1].as_str()?.strip_prefix("household-")?.parse::<i64>().ok()?;
        Some((row[0].as_str()?.to_owned(), number))
    };
    let households: HashMap<String, i64> = answer.rows.iter().filter_map(household).collect();
    while let Some(action) = received.recv().await {
        let household = action["member_id"].as_str().and_then(|id| households.get(id));
        if let Some(household) = household
            && rand::rng().random_bool(REMINDER_WORKS)
        {
            let codes = action["detail"]["products"].as_array().into_iter().flatten();
            let codes: Vec<String> = codes.filter_map(|code| code.as_str().map(str::to_owned)).collect();
            driver.with_crowd(|crowd| crowd.follow_up(*household, &codes, jiff::Timestamp::now()));
        }
    }
    Ok(())
}
