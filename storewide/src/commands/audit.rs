//! `audit`: the store against the serving layer, by a running server or, where none runs, by one started for it.

use super::output::print;
use super::table::table;
use crate::audit::Report;
use crate::cli::{Audit, Engines};
use crate::client::Client;
use crate::datadir::DataDir;
use crate::house::House;
use crate::settings::{Listen, Settings};
use anyhow::Result;
use reqwest::Method;
use runtime::config::Config;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// An audit reads every row; it may take long on a large store.
const AUDIT_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Runs `audit`. The exit code says whether store and serving layer agree.
///
/// # Errors
/// When the audit cannot be done.
pub async fn audit(options: &Audit, config: Config, data_dir: &Path) -> Result<ExitCode> {
    let data = DataDir::existing(data_dir);
    let nobody_serves = options.server.server.is_none() && data.as_ref().is_ok_and(|data| data.running().is_none());
    let report = match data {
        Ok(data) if nobody_serves => {
            let settings = Settings::read(&config, data, &Engines::default())?;
            let house = House::start(Settings { listen: Listen::anywhere(), ..settings }).await?;
            let report = house.audit().await;
            house.stop().await;
            report?
        }
        _ => {
            let client = Client::find(&options.server, data_dir)?;
            let request = client.request(Method::POST, "/api/v1/audit").timeout(AUDIT_TIME_MAX);
            let answer = client.send(request).await?;
            if let Some(detail) = answer["problem"]["detail"].as_str() {
                anyhow::bail!("{detail}");
            }
            serde_json::from_value(answer)?
        }
    };
    if options.json {
        print(&serde_json::to_string(&report)?)?;
    } else {
        show(&report)?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
