//! Settings of the house: each layer's section of the configuration, and where to listen.

use crate::cli::Engines;
use crate::datadir::DataDir;
use anyhow::{Context, Result};
use runtime::config::Config;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// `[listen]`: one listener for each zone of trust.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// API and console.
    pub api: SocketAddr,
    /// Gateway.
    pub gateway: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { api: local(7070), gateway: local(7071), health: local(7079) }
    }
}

impl Listen {
    /// Free ports of this machine, for tests and benches.
    #[must_use]
    pub fn anywhere() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { api: free, gateway: free, health: free }
    }
}

/// `[postgres]`: which server keeps the truth.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// URL of a server that somebody else runs; a private one where none is given.
    pub url: Option<String>,
    /// Folder of PostgreSQL's programs for the private server; searched for where none is given.
    pub bin_dir: Option<PathBuf>,
}

/// `[contracts]`: where the governed definitions come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contracts {
    /// A folder with the layout of `contracts/`; the built-in ones where none is given.
    pub dir: Option<PathBuf>,
}

/// `[clock]`: where processing and decisions take the time from.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockSettings {
    /// A time that stands still, for a replay that must end the same whenever it is made; the machine's clock where none is given.
    pub fixed: Option<model::Timestamp>,
}

/// All sections.
const SECTIONS: [&str; 12] = [
    "listen",
    "postgres",
    "contracts",
    "clock",
    "access",
    "oltp",
    "capture",
    "gateway",
    "processing",
    "serving",
    "duckdb",
    "decisions",
];

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept.
    pub data: DataDir,
    /// `[listen]`
    pub listen: Listen,
    /// `[postgres]`
    pub postgres: Postgres,
    /// `[contracts]`
    pub contracts: Contracts,
    /// `[clock]`
    pub clock: ClockSettings,
    /// `[access]`
    pub access: access::Config,
    /// `[oltp]`
    pub oltp: oltp::Config,
    /// `[capture]`
    pub capture: capture::Config,
    /// `[gateway]`
    pub gateway: gateway::Config,
    /// `[processing]`
    pub processing: processing::ProcessingConfig,
    /// `[serving]`
    pub serving: serving::Config,
    /// `[duckdb]`
    pub duckdb: engine_duckdb::Config,
    /// `[decisions]`
    pub decisions: decisions::Config,
}

impl Settings {
    /// Reads all sections; options of the command line win.
    ///
    /// # Errors
    /// When a section is not valid.
    pub fn read(config: &Config, data: DataDir, engines: &Engines) -> Result<Self> {
        config.only(&SECTIONS)?;
        let mut listen: Listen = config.section("listen")?;
        listen.api = engines.api.unwrap_or(listen.api);
        listen.gateway = engines.gateway.unwrap_or(listen.gateway);
        listen.health = engines.health.unwrap_or(listen.health);
        let mut postgres: Postgres = config.section("postgres")?;
        postgres.url = engines.pg_url.clone().or(postgres.url);
        let (serving, duckdb): (serving::Config, engine_duckdb::Config) =
            (config.section("serving")?, config.section("duckdb")?);
        serving.validate()?;
        duckdb.validate()?;
        Ok(Self {
            data,
            listen,
            postgres,
            contracts: config.section("contracts")?,
            clock: config.section("clock")?,
            access: config.section("access")?,
            oltp: config.section("oltp")?,
            capture: config.section("capture")?,
            gateway: config.section("gateway")?,
            processing: config.section("processing")?,
            serving,
            duckdb,
            decisions: config.section("decisions")?,
        })
    }

    /// How the private cluster is run.
    ///
    /// # Errors
    /// When a restore into the directory was cut short, or the log would go to the archive of another store.
    pub fn cluster(&self) -> Result<engine_postgres::Settings> {
        self.data.is_whole()?;
        let mut of = engine_postgres::Settings::new(self.data.path("postgres"));
        of.bin_dir.clone_from(&self.postgres.bin_dir);
        if let Some(dir) = self.archive_dir()? {
            crate::backup::check_archive(&dir, self.data.deployment()?)?;
            of.archive = Some(engine_postgres::Archive { dir, timeout_s: self.oltp.archive_timeout_s });
        }
        Ok(of)
    }

    /// Where the private cluster's log is archived.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn archive_dir(&self) -> Result<Option<PathBuf>> {
        self.oltp.archive_dir.as_ref().map(std::path::absolute).transpose().context("oltp.archive_dir")
    }

    /// The defaults on a data directory, on free ports.
    ///
    /// # Errors
    /// When the environment holds a setting that is not valid.
    pub fn fresh(data: DataDir) -> Result<Self> {
        let settings = Self::read(&Config::load(None).context("configuration")?, data, &Engines::default())?;
        Ok(Self { listen: Listen::anywhere(), ..settings })
    }
}
