//! Backups of the private store: a folder of base backups, and beside them the log, which PostgreSQL archives as it goes.
//!
//! ```text
//! <folder>/base/<name>/postgres/{data,password}   the cluster, as of the backup
//! <folder>/base/<name>/secrets/                   the secrets of the data directory
//! <folder>/base/<name>/backup.json                what it is; written last
//! <folder>/wal/<piece>.gz                         the log, with `oltp.archive_dir = "<folder>"`
//! <folder>/deployment                             which store the log is of
//! ```

mod listing;
mod restore;
mod take;

pub use listing::{Listed, list};
pub use restore::{Restored, clear, new_data_dir, restore};
pub use take::take;

use anyhow::{Context, Result, bail};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Folder of base backups.
const BASE: &str = "base";
/// What a backup is.
const NOTE: &str = "backup.json";
/// Which store an archive is of.
const DEPLOYMENT: &str = "deployment";

/// What a backup is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// Its name: when it was begun.
    pub name: String,
    /// Version of the program that took it.
    pub program: String,
    /// Which store it is of.
    pub deployment: Option<Uuid>,
    /// Version of the schema.
    pub schema: i32,
    /// Major version of PostgreSQL, which a restore needs again.
    pub postgres: u32,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it was complete.
    pub ended_at: Timestamp,
    /// Timeline of its log.
    pub timeline: u32,
    /// Size of a piece of the log, in bytes.
    pub wal_segment_bytes: u64,
    /// Position at which its log begins.
    pub start: String,
    /// The earliest position that it can be brought back to.
    pub end: String,
    /// Files of the cluster.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where the log was archived at the time.
    pub archive: Option<PathBuf>,
    /// SHA-256 of each secret.
    pub secrets: BTreeMap<String, String>,
}

/// All backups of a folder, the oldest first. What is not complete is none.
fn notes(folder: &Path) -> Result<Vec<(PathBuf, Note)>> {
    let base = folder.join(BASE);
    let entries = fs::read_dir(&base).with_context(|| format!("there are no backups in {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // A name that begins with a dot is of a backup that was cut short.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let note = fs::read(path.join(NOTE)).with_context(|| format!("{} is no backup", path.display()))?;
        let note: Note = serde_json::from_slice(&note).with_context(|| format!("{} is damaged", path.display()))?;
        found.push((path, note));
    }
    found.sort_by_key(|backup| backup.1.begun_at);
    Ok(found)
}

/// Copies secrets from one folder to another, readable by their owner only; gives their checksums.
fn copy_secrets(from: &Path, to: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { bail!("a secret has a name that is no text") };
        if entry.file_type()?.is_file() {
            let secret = fs::read(entry.path())?;
            sums.insert(name.clone(), hex::encode(Sha256::digest(&secret)));
            crate::datadir::write_whole(&to.join(name), &secret, 0o600)?;
        }
    }
    Ok(sums)
}

/// Refuses an archive that holds the log of another store: of what happened before a restore, say, which must not be mixed with what
/// happens after it. Both may not be known yet.
///
/// # Errors
/// When it does, or cannot be read.
pub fn check_archive(folder: &Path, deployment: Option<Uuid>) -> Result<()> {
    let path = folder.join(DEPLOYMENT);
    match fs::read_to_string(&path) {
        Ok(of) if deployment.is_some_and(|known| known.to_string() == of.trim()) => Ok(()),
        Ok(_) => bail!(
            "{} holds the log of another store than this one, or of this one before it was restored; set `oltp.archive_dir` to a new \
             folder, and take a backup to it",
            folder.display()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Notes whose log an archive holds.
///
/// # Errors
/// As [`check_archive`], and when it cannot be written.
pub fn mark_archive(folder: &Path, deployment: Uuid) -> Result<()> {
    check_archive(folder, Some(deployment))?;
    let path = folder.join(DEPLOYMENT);
    if path.exists() {
        return Ok(());
    }
    crate::datadir::write_whole(&path, deployment.to_string().as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_of_one_store() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        check_archive(folder.path(), None).unwrap();
        mark_archive(folder.path(), one).unwrap();
        mark_archive(folder.path(), one).unwrap();
        for wrong in [None, Some(other)] {
            let error = check_archive(folder.path(), wrong).unwrap_err().to_string();
            assert!(error.contains("oltp.archive_dir"), "{error}");
        }
    }
}
