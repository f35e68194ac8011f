//! The three engines of an embedded house, and the sinks that fill the serving layer.

use super::Parts;
use crate::backup;
use crate::client::OWNER_KEY;
use crate::settings::Settings;
use crate::store::DATABASE;
use anyhow::{Context, Result};
use bus::{Bus, TopicSpec};
use engine_duckdb::DuckDb;
use engine_fjall::{FjallProfiles, Store};
use engine_postgres::Cluster;
use model::{Layer, Tokeniser, topic};
use oltp::{NewKey, Oltp};
use runtime::auth::Role;
use runtime::{SystemClock, Tasks, Telemetry};
use serving::{Analytics, Profiles, Progress, Serving, Work, tables};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `capture.progress` is only read at its end; a day of it is plenty to look back on.
const PROGRESS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Opens the log with all its topics.
pub(super) async fn log(settings: &Settings, tasks: &Tasks, telemetry: &Telemetry) -> Result<Store> {
    let path = settings.data.path("bus");
    let store = tokio::task::spawn_blocking(move || Store::open(&path, engine_fjall::Options::default()))
        .await
        .context("opening the log failed")??;
    store.measure(telemetry.meter(Layer::Bus));
    let bus = store.bus();
    for (name, partitions) in topic::all() {
        let retention = (name == topic::CAPTURE_PROGRESS).then_some(PROGRESS_KEPT);
        bus.create_topic(&TopicSpec { retention, ..TopicSpec::new(name, partitions) }).await?;
    }
    let (kept, stop) = (Arc::clone(&bus), tasks.stop_of(Layer::Bus));
    tasks.spawn(Layer::Bus, "retention", async move { kept.run_retention(stop).await });
    Ok(store)
}

/// Starts PostgreSQL, or finds the given server, and brings the schema up to date.
pub(super) async fn truth(
    settings: &Settings,
    tasks: &Tasks,
    telemetry: &Telemetry,
    tokeniser: &Tokeniser,
) -> Result<(Oltp, engine_postgres::Config, Uuid)> {
    let config = match &settings.postgres.url {
        Some(url) => engine_postgres::external(url).await?,
        None => private(settings, tasks, telemetry).await?,
    };
    let oltp = Oltp::new(&settings.oltp, config.clone(), tokeniser.clone(), telemetry.meter(Layer::Oltp))?;
    let deployment = oltp.migrate().await?.deployment;
    settings.data.belongs_to(deployment)?;
    if let (Some(archive), None) = (settings.archive_dir()?, &settings.postgres.url) {
        backup::mark_archive(&archive, deployment)?;
    }
    let (kept, stop) = (oltp.clone(), tasks.stop_of(Layer::Oltp));
    tasks.spawn(Layer::Oltp, "partitions", async move { partitions(&kept, &stop).await });
    let (kept, stop) = (oltp.clone(), tasks.stop_of(Layer::Oltp));
    tasks.spawn(Layer::Oltp, "upkeep", async move { kept.run_upkeep(stop).await });
    if settings.data.stored_secret(OWNER_KEY)?.is_none() {
        let (_, key) = oltp
            .create_api_key(&NewKey { scopes: Some(vec!["*".to_owned()]), ..NewKey::new("owner", Role::Admin) })
            .await?;
        settings.data.store_secret(OWNER_KEY, &key)?;
    }
    Ok((oltp, config, deployment))
}

async fn private(settings: &Settings, tasks: &Tasks, telemetry: &Telemetry) -> Result<engine_postgres::Config> {
    let cluster = Cluster::start(settings.cluster()?).await?;
    let (meter, stop) = (telemetry.meter(Layer::Oltp), tasks.stop_of(Layer::Oltp));
    let watched = cluster.clone();
    tasks.spawn(Layer::Oltp, "postgres", async move { watched.supervise(meter, stop).await });
    cluster.create_database(DATABASE).await?;
    let mut config = cluster.config();
    config.dbname(DATABASE);
    Ok(config)
}

/// Keeps the partitions of the ledgers, at start and once a day; sooner again after a failure.
async fn partitions(oltp: &Oltp, stop: &CancellationToken) -> Result<()> {
    loop {
        let wait = match oltp.keep_partitions().await {
            Ok(upkeep) => {
                let (made, dropped) = (upkeep.made, upkeep.dropped);
                if made + dropped > 0 {
                    tracing::info!(target: "oltp", made, dropped, "partitions of the ledgers");
                }
                Duration::from_secs(24 * 60 * 60)
            }
            Err(error) => {
                tracing::warn!(target: "oltp", %error, "the partitions of the ledgers are not kept up");
                Duration::from_secs(60)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Opens the analytics engine.
pub(super) async fn analytics(settings: &Settings) -> Result<Arc<dyn Analytics>> {
    let path = settings.data.path("serving");
    let config = settings.duckdb.clone();
    let engine = tokio::task::spawn_blocking(move || DuckDb::open(&path, &config))
        .await
        .context("opening the analytics failed")??;
    let engine: Arc<dyn Analytics> = Arc::new(engine);
    engine.migrate(&tables::TABLES, &tables::VIEWS).await?;
    Ok(engine)
}

/// Puts the serving layer together.
pub(super) fn serving(
    settings: &Settings,
    telemetry: &Telemetry,
    tokeniser: &Tokeniser,
    log: &Store,
    analytics: Arc<dyn Analytics>,
) -> Result<Serving> {
    let profiles = FjallProfiles::open(log, &settings.data.path("bus"))?;
    Ok(Serving {
        config: settings.serving.clone(),
        bus: log.bus(),
        analytics,
        analytics_progress: Arc::new(Progress::default()),
        profiles: Profiles::new(Arc::new(profiles)),
        profiles_progress: Arc::new(Progress::default()),
        freshness: serving::Freshness::default(),
        tokeniser: tokeniser.clone(),
        meter: telemetry.meter(Layer::Serving),
    })
}

/// Starts what fills both shapes of the serving layer.
pub(super) fn start_sinks(tasks: &Tasks, parts: &Parts) {
    let serving = &parts.serving;
    let work = |progress: &Arc<Progress>| Work {
        config: serving.config.clone(),
        bus: Arc::clone(&serving.bus),
        progress: Arc::clone(progress),
        freshness: serving.freshness.clone(),
        clock: Arc::new(SystemClock),
        meter: serving.meter.clone(),
    };
    let stop = || tasks.stop_of(Layer::Serving);
    let analytics = serving::run_analytics(work(&serving.analytics_progress), Arc::clone(&serving.analytics), stop());
    tasks.spawn(Layer::Serving, "analytics", analytics);
    let profiles = serving::run_profiles(work(&serving.profiles_progress), serving.profiles.clone(), stop());
    tasks.spawn(Layer::Serving, "profiles", profiles);
}
