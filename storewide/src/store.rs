//! The store by itself, without the layers around it: for commands that look after it.

use crate::datadir::Lock;
use crate::settings::Settings;
use anyhow::{Context, Result};
use engine_postgres::{Cluster, Config, Installation};
use model::Layer;
use model::Tokeniser;
use oltp::Oltp;
use runtime::Telemetry;

/// Name of our database on the server.
pub const DATABASE: &str = "storewide";

/// A store, and what runs it if that was started for it.
pub struct Store {
    /// The store.
    pub oltp: Oltp,
    private: Option<(Config, Installation)>,
    cluster: Option<Cluster>,
    _lock: Option<Lock>,
}

impl Store {
    /// Reaches the store of a data directory: the server of the settings, the private one that runs, or one started for this.
    ///
    /// # Errors
    /// When the server cannot be reached or does not start.
    pub async fn open(settings: &Settings) -> Result<Self> {
        if let Some(url) = &settings.postgres.url {
            let oltp = oltp_of(engine_postgres::external(url).await?, settings)?;
            return Ok(Self { oltp, private: None, cluster: None, _lock: None });
        }
        let (config, installation, cluster, lock) = if settings.data.running().is_some() {
            let bin_dir = settings.postgres.bin_dir.as_deref();
            let (config, installation) = engine_postgres::attach(&settings.data.path("postgres"), bin_dir)?;
            (config, installation, None, None)
        } else {
            let lock = settings.data.lock()?;
            let cluster = Cluster::start(settings.cluster()?).await?;
            cluster.create_database(DATABASE).await?;
            (cluster.config(), cluster.installation().clone(), Some(cluster), Some(lock))
        };
        let mut ours = config.clone();
        ours.dbname(DATABASE);
        Ok(Self { oltp: oltp_of(ours, settings)?, private: Some((config, installation)), cluster, _lock: lock })
    }

    /// The private cluster's superuser, and its programs; none for a server that somebody else runs.
    #[must_use]
    pub const fn private(&self) -> Option<&(Config, Installation)> {
        self.private.as_ref()
    }

    /// Does something with the store, then stops what was started for it.
    ///
    /// # Errors
    /// Whatever the work fails with.
    pub async fn run<T>(self, work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let outcome = work(&self).await;
        if let Some(cluster) = &self.cluster {
            cluster.stop().await;
        }
        outcome
    }
}

/// The layer on a database, with meters of its own.
///
/// # Errors
/// When a secret of the data directory cannot be read.
pub fn oltp_of(config: Config, settings: &Settings) -> Result<Oltp> {
    let tokeniser = Tokeniser::new(settings.data.secret("token.key")?.as_bytes());
    let meter = Telemetry::default().meter(Layer::Oltp);
    Oltp::new(&settings.oltp, config, tokeniser, meter).context("the store")
}
