//! Whom a command talks to: the server that the options name, the one that runs on the data directory, or, where none runs,
//! one started on it for this command alone.

use crate::cli::{Engines, Server};
use crate::client::{Client, OWNER_KEY};
use crate::datadir::DataDir;
use crate::house::House;
use crate::settings::{Listen, Settings};
use anyhow::{Context, Result};
use runtime::config::Config;
use std::path::Path;

/// A client, and the house behind it if it was started for it.
pub struct Session {
    /// The client.
    pub client: Client,
    house: Option<House>,
}

impl Session {
    /// Finds or starts a server.
    ///
    /// # Errors
    /// When there is no such server, no data directory or no key, or the house does not start.
    pub async fn open(options: &Server, config: &Config, data_dir: &Path) -> Result<Self> {
        let data = DataDir::existing(data_dir);
        let key = || match (&options.api_key, &data) {
            (Some(key), _) => Ok(Some(key.clone())),
            (None, Ok(data)) => data.stored_secret(OWNER_KEY),
            (None, Err(_)) => Ok(None),
        };
        let no_key = "no API key; pass one with --api-key or STOREWIDE_API_KEY";
        if let Some(server) = &options.server {
            return Ok(Self { client: Client::new(server, key()?.context(no_key)?)?, house: None });
        }
        let data = data.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        if let Some(running) = data.running() {
            let client = Client::new(format!("http://{}", running.api), key()?.context(no_key)?)?;
            return Ok(Self { client, house: None });
        }
        eprintln!("no server runs on {}; starting one for this command", data_dir.display());
        let engines = Engines { pg_url: options.pg_url.clone(), ..Engines::default() };
        let settings = Settings::read(config, data.clone(), &engines)?;
        let house = House::start_without_decisions(Settings { listen: Listen::anywhere(), ..settings }).await?;
        let base = format!("http://{}", house.running().api);
        match key().and_then(|key| Client::new(base, key.context(no_key)?)) {
            Ok(client) => Ok(Self { client, house: Some(house) }),
            Err(error) => {
                house.stop().await;
                Err(error)
            }
        }
    }

    /// Does something with the client, then stops what was started for it.
    ///
    /// # Errors
    /// Whatever the work fails with, and when the house fails under it.
    pub async fn run<T>(self, work: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        let Some(house) = self.house else { return work(self.client).await };
        let outcome = tokio::select! {
            outcome = work(self.client) => outcome,
            failure = house.failed() => Err(anyhow::anyhow!(failure)),
        };
        house.stop().await;
        outcome
    }
}
