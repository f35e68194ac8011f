//! `import`: files to commands, through the front door's batch.

mod batch;
mod completejourney;

pub use batch::{Loaded, Loader};
pub use completejourney::{Codes, Journey, JourneyOptions, email, member_no};

use crate::cli::{Import, ImportFormat};
use crate::commands::{Session, print};
use crate::datadir::DataDir;
use anyhow::Result;
use indicatif::HumanCount;
use runtime::config::Config;
use std::path::Path;

/// Runs `import`.
///
/// # Errors
/// When the files cannot be read or the server refuses lines.
pub async fn run(options: &Import, config: &Config, data_dir: &Path) -> Result<()> {
    let ImportFormat::CompleteJourney = options.format;
    let shift_weeks = options.shift_weeks;
    let journey = Journey::open(&options.path, JourneyOptions { shift_weeks, ..JourneyOptions::default() })?;
    let session = Session::open(&options.server, config, data_dir).await?;
    let data = DataDir::open(data_dir)?;
    let load = async |client| Loader::open(client, &data, &journey, !options.json).await?.load(&journey).await;
    let loaded = session.run(load).await?;
    if options.json {
        print(&serde_json::to_string(&loaded)?)?;
        return Ok(());
    }
    print(&format!(
        "{} records accepted in {:.1} s; {} had been accepted before. The serving layer follows: it has them all at position {}",
        HumanCount(loaded.records),
        loaded.seconds,
        HumanCount(loaded.resumed),
        loaded.position
    ))?;
    print(&format!("To wait for it: storewide sql --at-least {} \"select count(*) from orders\"", loaded.position))?;
    Ok(())
}
