//! `quarantine`: what the gateway refused, and why.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::{Quarantine, QuarantineAction};
use anyhow::{Context, Result};
use reqwest::Method;
use runtime::config::Config;
use std::path::Path;
use std::process::ExitCode;

/// Runs `quarantine`.
///
/// # Errors
/// When no server is found or it refuses.
pub async fn quarantine(options: &Quarantine, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let QuarantineAction::List { limit, json } = &options.action;
    let path = format!("/api/v1/quarantine?limit={limit}");
    let session = Session::open(&options.server, config, data_dir).await?;
    let answer = session.run(async |client| client.send(client.request(Method::GET, &path)).await).await?;
    if *json {
        print(&answer.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let events = answer["entries"].as_array().context("the answer has no entries")?;
    let columns = ["received_at", "source", "code", "reason"];
    let cells = |event: &serde_json::Value| {
        columns.map(|column| event[column].as_str().unwrap_or_default().to_owned()).to_vec()
    };
    let rows: Vec<_> = events.iter().map(cells).collect();
    print(&table(&columns, &rows))?;
    Ok(ExitCode::SUCCESS)
}
