//! `serve`: the house, until it is asked to stop.

use crate::cli::Serve;
use crate::datadir::DataDir;
use crate::house::House;
use crate::settings::Settings;
use anyhow::Result;
use runtime::config::Config;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `serve`.
///
/// # Errors
/// When the house cannot start.
pub async fn serve(options: Serve, config: Config, data_dir: &Path) -> Result<ExitCode> {
    runtime::telemetry::start_logging(options.log_json);
    let settings = Settings::read(&config, DataDir::open(data_dir)?, &options.engines)?;
    let house = tokio::select! {
        house = House::start(settings) => house?,
        () = interrupted() => return Ok(ExitCode::SUCCESS),
    };
    let running = house.running();
    eprintln!(
        "storewide serves\n  console and API  http://{}/\n  gateway          http://{}/",
        running.api, running.gateway
    );
    eprintln!("  health, metrics  http://{}/metrics\nStop with Ctrl-C.", running.health);
    let failure = tokio::select! {
        failure = house.failed() => Some(failure),
        () = interrupted() => None,
    };
    house.stop().await;
    match failure {
        Some(failure) => anyhow::bail!("{failure}"),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Resolves when a person or a service manager asks the program to stop.
pub async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
