//! `audit`: the store against the serving layer.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::audit::Report;
use crate::cli::Audit;
use crate::client::Client;
use anyhow::Result;
use indicatif::ProgressBar;
use reqwest::Method;
use runtime::config::Config;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// An audit reads every row; it may take long on a large store, and says nothing until it is done.
const AUDIT_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Runs `audit`. The exit code says whether store and serving layer agree.
///
/// # Errors
/// When the audit cannot be done.
pub async fn audit(options: &Audit, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let session = Session::open(&options.server, config, data_dir).await?;
    let waiting = if options.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    waiting.set_message("comparing every row");
    waiting.enable_steady_tick(Duration::from_millis(100));
    let report = session.run(async |client| ask(&client.patient(AUDIT_TIME_MAX)?).await).await;
    waiting.finish_and_clear();
    let report = report?;
    if options.json {
        print(&serde_json::to_string(&report)?)?;
    } else {
        show(&report)?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(client: &Client) -> Result<Report> {
    let answer = client.send(client.request(Method::POST, "/api/v1/audit")).await?;
    if let Some(detail) = answer["problem"]["detail"].as_str() {
        anyhow::bail!("{detail}");
    }
    Ok(serde_json::from_value(answer)?)
}

fn show(report: &Report) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = report
        .by_table
        .iter()
        .map(|of| {
            [&of.table, &of.rows.to_string(), &of.missing.to_string(), &of.extra.to_string(), &of.different.to_string()]
                .map(String::clone)
                .to_vec()
        })
        .collect();
    print(&table(&["table", "rows", "missing", "extra", "different"], &rows))?;
    let verdict = if report.is_clean() { "store and serving layer agree" } else { "store and serving layer DIFFER" };
    print(&format!("{verdict} at position {}", report.position))?;
    Ok(())
}
