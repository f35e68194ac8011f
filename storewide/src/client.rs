//! The client of a running server: what the commands talk through.

use crate::cli::Server;
use crate::datadir::DataDir;
use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder, Response};
use runtime::Problem;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Name of the secret that holds the owner's API key.
pub const OWNER_KEY: &str = "owner.key";

/// A server and the key to it.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

impl Client {
    /// A client for a server.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { base: base.into().trim_end_matches('/').to_owned(), key: key.into(), http })
    }

    /// The server that the options name, or the one that runs on the data directory.
    ///
    /// # Errors
    /// When no server runs there or no key is at hand.
    pub fn find(options: &Server, data_dir: &Path) -> Result<Self> {
        let data = DataDir::existing(data_dir);
        let base = match &options.server {
            Some(server) => server.clone(),
            None => {
                let data = data.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
                let running = data.running().with_context(|| {
                    format!(
                        "no server runs on {}; start one with `storewide serve`, or name one with --server",
                        data_dir.display()
                    )
                })?;
                format!("http://{}", running.api)
            }
        };
        let key = match &options.api_key {
            Some(key) => Some(key.clone()),
            None => data.ok().and_then(|data| data.stored_secret(OWNER_KEY).ok().flatten()),
        };
        Self::new(base, key.context("no API key; pass one with --api-key or STOREWIDE_API_KEY")?)
    }

    /// A request to a path of the API.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }

    /// Sends a request and reads the JSON answer; a problem document becomes the error.
    ///
    /// # Errors
    /// When the server cannot be reached or answers with a problem.
    pub async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let response = self.response(request).await?;
        response.json().await.context("the server's answer is not JSON")
    }

    /// Sends a request; a problem document becomes the error.
    ///
    /// # Errors
    /// When the server cannot be reached or answers with a problem.
    pub async fn response(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.with_context(|| format!("cannot reach {}", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match response.json::<Problem>().await {
            Ok(problem) => bail!("{} ({})", problem.detail, problem.code),
            Err(_) => bail!("the server answered {status}"),
        }
    }

    /// Asks in SQL; rows come as arrays, in the order of the columns.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn sql(&self, query: &str, at_least: Option<&str>, limit: u32) -> Result<Answer> {
        let body = serde_json::json!({ "sql": query, "at_least": at_least, "limit": limit, "wait_ms": 30_000 });
        let answer = self.send(self.request(Method::POST, "/api/v1/sql").json(&body)).await?;
        serde_json::from_value(answer).context("the answer is not one of the SQL door")
    }

    /// Asks in SQL for one whole number.
    ///
    /// # Errors
    /// As [`Client::sql`], and when the answer is something else.
    pub async fn number(&self, query: &str, at_least: Option<&str>) -> Result<i64> {
        let answer = self.sql(query, at_least, 1).await?;
        let value = answer.rows.first().and_then(|row| row.first());
        let number = value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        number.with_context(|| format!("`{query}` answered {value:?}, not a number"))
    }
}

/// An answer of the SQL door.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<serving::QueryColumn>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Whether rows were left out.
    pub truncated: bool,
    /// Up to when it is complete.
    pub as_of: serving::AsOf,
}
