//! `bench`: figures, each beside a reference measured in the same run, one JSON object a figure; the last line is the main figure.

mod batch;
mod capture;
mod coupons;
mod figure;
mod freshness;
mod gateway;
mod import;
mod load;
mod lookup;
mod orders;
mod points;
mod processing;
mod query;
mod shop;
mod start;

use crate::cli::{Bench, BenchName};
use anyhow::Result;
use std::process::ExitCode;
use std::time::Duration;

/// Runs a bench.
///
/// # Errors
/// When an engine does not start or the load fails.
pub async fn run(options: &Bench) -> Result<ExitCode> {
    let time = Duration::from_secs(options.seconds);
    let figures = match options.name {
        BenchName::Gateway => gateway::run(time).await?,
        BenchName::Capture => capture::run(time).await?,
        BenchName::Processing => processing::run(time).await?,
        BenchName::Freshness => freshness::run(time, &options.data).await?,
        BenchName::Orders => orders::run(time).await?,
        BenchName::Coupons => coupons::run(time).await?,
        BenchName::Points => points::run(time).await?,
        BenchName::Lookup => lookup::run(time).await?,
        BenchName::Batch => batch::run(time).await?,
        BenchName::Query => query::run(time, &options.data).await?,
        BenchName::Start => start::run().await?,
        BenchName::Import => import::run(&options.data).await?,
    };
    for figure in figures {
        println!("{}", serde_json::to_string(&figure)?);
    }
    Ok(ExitCode::SUCCESS)
}
