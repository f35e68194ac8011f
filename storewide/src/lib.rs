//! Storewide, the one binary: command line, roles and wiring.
//!
//! Takes: a command, a configuration, a data directory. Gives: a running house, or an answer from one. Never: decides
//! anything that belongs to a layer.
#![allow(clippy::print_stdout, reason = "commands print their answers")]

pub mod audit;
pub mod backup;
pub mod bench;
pub mod cli;
pub mod client;
mod commands;
pub mod datadir;
pub mod demo;
pub mod house;
pub mod import;
pub mod settings;
pub mod store;

use anyhow::Result;
use cli::{Cli, Command};
use std::process::ExitCode;

/// Runs a command.
///
/// # Errors
/// When the command cannot do what it was asked to do.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    let data_dir = cli.data_dir.as_path();
    let config = runtime::config::Config::load(cli.config.as_deref())?;
    match cli.command {
        Command::Demo(options) => demo::run(options, config, data_dir).await,
        Command::Serve(options) => commands::serve(options, config, data_dir).await,
        Command::Import(options) => import::run(&options, &config, data_dir).await.map(|()| ExitCode::SUCCESS),
        Command::Sql(options) => commands::sql(&options, &config, data_dir).await,
        Command::Status(options) => commands::status(&options, &config, data_dir).await,
        Command::Audit(options) => commands::audit(&options, &config, data_dir).await,
        Command::Keys(options) => commands::keys(&options, &config, data_dir).await,
        Command::Quarantine(options) => commands::quarantine(&options, &config, data_dir).await,
        Command::Oltp(options) => commands::oltp(&options, &config, data_dir).await,
        Command::Backup(options) => commands::backup(&options, &config, data_dir).await,
        Command::Restore(options) => commands::restore(&options, &config, data_dir).await,
        Command::Inbox(options) => commands::inbox(&options, &config, data_dir).await,
        Command::Contract(options) => commands::contract(&options),
        Command::Bench(options) => bench::run(&options).await,
    }
}
