//! The client of a running server: what the commands talk through.

use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use runtime::Problem;
use serde_json::Value;
use std::time::Duration;

/// Name of the secret that holds the owner's API key.
pub const OWNER_KEY: &str = "owner.key";

/// Longest silence of a server in the middle of an answer: the longest question that the SQL door allows, and a wait before it.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long a read waits for the write that it must hold.
const AT_LEAST_MS: u64 = 30_000;

/// What the server answered instead of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// The status of the answer.
    pub status: StatusCode,
    text: String,
}

/// Whether the same request will be answered so again.
#[must_use]
pub fn is_final(status: StatusCode) -> bool {
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !busy.contains(&status)
}

/// A server and the key to it.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

fn http(silence_max: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).read_timeout(silence_max).build()
}

impl Client {
    /// A client for a server.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Result<Self> {
        let http = http(SILENCE_MAX)?;
        Ok(Self { base: base.into().trim_end_matches('/').to_owned(), key: key.into(), http })
    }

    /// The same client for questions that are answered late: so long a silence is no failure.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn patient(&self, silence_max: Duration) -> Result<Self> {
        let http = http(silence_max)?;
        Ok(Self { http, ..self.clone() })
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
    /// When the server cannot be reached, or, as [`Refused`], when it answers with a problem.
    pub async fn response(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.with_context(|| format!("cannot reach {}", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = match response.json::<Problem>().await {
            Ok(problem) => format!("{} ({})", problem.detail, problem.code),
            Err(_) => format!("the server answered {status}"),
        };
        Err(Refused { status, text }.into())
    }

    /// Asks in SQL; rows come as arrays, in the order of the columns.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn sql(&self, query: &str, at_least: Option<&str>, limit: u32) -> Result<Answer> {
        let answer = self.sql_as("json", query, at_least, limit).await?;
        answer.json().await.context("the answer is not one of the SQL door")
    }

    /// Asks in SQL for an answer in a format of the door: json or csv.
    ///
    /// # Errors
    /// As [`Client::response`].
    pub async fn sql_as(&self, format: &str, query: &str, at_least: Option<&str>, limit: u32) -> Result<Response> {
        let body = serde_json::json!({
            "sql": query, "at_least": at_least, "limit": limit, "wait_ms": AT_LEAST_MS, "format": format
        });
        self.response(self.request(Method::POST, "/api/v1/sql").json(&body)).await
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
