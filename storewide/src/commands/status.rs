//! `status`: each layer's rate, lag, position and errors.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::Status;
use crate::client::Client;
use anyhow::Result;
use reqwest::Method;
use runtime::config::Config;
use runtime::{LagUnit, LayerStatus};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `status`.
///
/// # Errors
/// When no server is found or it does not answer.
pub async fn status(options: &Status, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let session = Session::open(&options.server, config, data_dir).await?;
    session.run(async |client| watch(options, &client).await).await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the status once, or until interrupted.
async fn watch(options: &Status, client: &Client) -> Result<()> {
    loop {
        let answer = client.send(client.request(Method::GET, "/api/v1/status")).await?;
        if options.json {
            print(&answer.to_string())?;
        } else {
            let layers: Vec<LayerStatus> = serde_json::from_value(answer["layers"].clone())?;
            if options.watch {
                // Clears the screen and goes to its corner.
                print("\x1b[2J\x1b[H")?;
            }
            print(&show(&layers))?;
        }
        if !options.watch {
            return Ok(());
        }
        tokio::select! {
            () = super::interrupted() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// A lag with its unit, where that is not records.
fn lag(layer: &LayerStatus) -> String {
    match layer.lag_unit {
        LagUnit::Records => layer.lag.to_string(),
        LagUnit::Bytes => format!("{} B", layer.lag),
    }
}

fn show(layers: &[LayerStatus]) -> String {
    let rows: Vec<Vec<String>> = layers
        .iter()
        .map(|layer| {
            vec![
                layer.layer.to_string(),
                layer.records.to_string(),
                format!("{:.0}", layer.rate),
                lag(layer),
                layer.errors.to_string(),
                layer.position.clone(),
                layer.last_error.clone().unwrap_or_default().chars().take(60).collect(),
            ]
        })
        .collect();
    table(&["layer", "handled", "per second", "lag", "errors", "position", "last error"], &rows)
}
