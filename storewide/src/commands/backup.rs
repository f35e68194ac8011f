//! `backup` and `restore`.

use super::output::print;
use super::table::table;
use crate::backup::{self, Listed};
use crate::cli::{Backup, Engines, Restore};
use crate::datadir::DataDir;
use crate::settings::Settings;
use crate::store::Store;
use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar};
use runtime::config::Config;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `backup`.
///
/// # Errors
/// When there is no store, or the backup cannot be taken, written or read.
pub async fn backup(options: &Backup, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let of: oltp::Config = config.section("oltp")?;
    let folder = options
        .to
        .clone()
        .or(of.archive_dir)
        .context("name the folder of backups with --to, or set `oltp.archive_dir`")?;
    let folder = std::path::absolute(&folder)?;
    if options.list {
        let all = backup::list(&folder)?;
        print(&if options.json { json!({ "backups": all }).to_string() } else { show(&all) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::read(config, DataDir::existing(data_dir)?, &Engines::default())?;
    let waiting = waiting(options.json, "copying and checking the store");
    let taken = Store::open(&settings).await?.run(async |store| backup::take(store, &settings, &folder).await).await;
    waiting.finish_and_clear();
    let note = taken?;
    if options.json {
        print(&serde_json::to_string(&note)?)?;
    } else {
        print(&format!(
            "backup {} of {} in {} files, complete at {}",
            note.name,
            HumanBytes(note.bytes),
            note.files,
            note.end
        ))?;
        if note.archive.is_none() {
            eprintln!("What is written from now on is not in it: set `oltp.archive_dir` to keep that, too.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `restore`.
///
/// # Errors
/// When the data directory is not new, or the backup cannot be brought back to the moment.
pub async fn restore(options: &Restore, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let data = backup::new_data_dir(data_dir)?;
    let waiting = waiting(options.json, "restoring the store");
    let restored = async {
        let settings = Settings::read(config, data.clone(), &Engines::default())?;
        backup::restore(options, &settings).await
    };
    let restored = restored.await;
    waiting.finish_and_clear();
    let restored = restored.inspect_err(|_| backup::clear(&data))?;
    if options.json {
        print(&serde_json::to_string(&restored)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let last = restored.last_commit.map_or_else(String::new, |at| format!(", its last commit of {at}"));
    print(&format!("restored backup {} as store {}{last}", restored.backup, restored.deployment))?;
    eprintln!(
        "Start it with `storewide serve --data-dir {}`: bus and serving fill from the store. Behaviour events are not in a backup. Keys that \
         were revoked and people who were erased after that moment are back: revoke and erase them again.",
        data_dir.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn waiting(hidden: bool, what: &'static str) -> ProgressBar {
    let waiting = if hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    waiting.set_message(what);
    waiting.enable_steady_tick(Duration::from_millis(100));
    waiting
}

fn show(all: &[Listed]) -> String {
    let row = |of: &Listed| {
        let backup = &of.backup;
        let to = of.archived_to.clone().unwrap_or_else(|| backup.end.clone());
        vec![
            backup.name.clone(),
            HumanBytes(backup.bytes).to_string(),
            backup.postgres.to_string(),
            backup.end.clone(),
            to,
            of.pieces.to_string(),
            HumanBytes(of.archived_bytes).to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(&["backup", "size", "PostgreSQL", "from", "to", "pieces of log", "size of them"], &rows)
}
