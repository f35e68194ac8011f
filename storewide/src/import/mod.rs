//! `import`: files to commands, through the front door's batch.

mod batch;
mod completejourney;

pub use batch::{Loaded, Loader};
pub use completejourney::{Codes, Journey, JourneyOptions, email, member_no};

use crate::cli::{Import, ImportFormat};
use crate::client::Client;
use crate::datadir::DataDir;
use anyhow::Result;
use indicatif::HumanCount;
use std::path::Path;

/// Runs `import`.
///
/// # Errors
/// When the files cannot be read or the server refuses lines.
pub async fn run(options: &Import, data_dir: &Path) -> Result<()> {
    let client = Client::find(&options.server, data_dir)?;
    let data = DataDir::open(data_dir)?;
    let ImportFormat::CompleteJourney = options.format;
    let journey =
        Journey::open(&options.path, JourneyOptions { shift_weeks: options.shift_weeks, ..JourneyOptions::default() })?;
    // What one server has taken, another may lack.
    let fingerprint = match &options.server.server {
        Some(server) => format!("{} at {server}", journey.fingerprint()),
        None => journey.fingerprint(),
    };
    let loaded = Loader::new(client, data, &fingerprint, !options.json)?.load(&journey).await?;
    if options.json {
        println!("{}", serde_json::to_string(&loaded)?);
        return Ok(());
    }
    println!(
        "{} records accepted in {:.1} s; {} had been accepted before. The serving layer follows: it has them all at position {}",
        HumanCount(loaded.records),
        loaded.seconds,
        HumanCount(loaded.resumed),
        loaded.position
    );
    println!("To wait for it: storewide sql --at-least {} \"select count(*) from orders\"", loaded.position);
    Ok(())
}
