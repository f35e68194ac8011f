//! Restoring a backup into a new data directory.

use super::{Note, copy_secrets, notes};
use crate::datadir::{DataDir, RESTORING};
use crate::settings::Settings;
use crate::store::{DATABASE, oltp_of};
use anyhow::{Context, Result, bail};
use engine_postgres::{Cluster, Recovery, Target, WAL_FOLDER};
use model::{Position, Timestamp};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The moment to come to.
#[derive(Clone, Debug)]
enum Moment {
    Latest,
    Time(Timestamp),
    Position(u64),
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// The backup that it began with.
    pub backup: String,
    /// Which store it is from now on. What was derived from the store before is refused.
    pub deployment: Uuid,
    /// Which store it was.
    pub was: Option<Uuid>,
    /// When the last transaction that is in it was committed; none if the archived log added none.
    pub last_commit: Option<Timestamp>,
    /// End of its log, as a position token.
    pub position: String,
}

/// Restores a backup into the data directory of the settings, which must be empty. The store is there when it is complete; bus,
/// processing and serving are empty, and fill from it when it is served.
///
/// # Errors
/// When the directory is not empty, there is no backup before the moment, the backup is damaged, or the log does not reach the moment.
pub async fn restore(options: &crate::cli::Restore, settings: &Settings) -> Result<Restored> {
    let moment = moment(options)?;
    let (path, note) = choose(notes(&options.from)?, options.backup.as_deref(), &moment)?;
    let data = &settings.data;
    let _lock = data.lock()?;
    let copied = copy_secrets(&path.join("secrets"), &data.path("secrets"))?;
    if copied != note.secrets {
        bail!("{} is damaged: its secrets were changed; use another backup", path.display());
    }
    let password =
        fs::read_to_string(path.join("postgres/password")).context("the backup has no password of the store")?;
    let recovery = Recovery {
        target: target(&moment),
        archive: archive_of(&options.from, &note),
        old_wal: options.old_data_dir.as_deref().map(log_of).transpose()?,
    };
    // Under another name until it is complete: a directory whose restore was cut short has no store, and is refused.
    let draft = data.path(RESTORING);
    let mut of = engine_postgres::Settings::new(draft.join("postgres"));
    of.bin_dir.clone_from(&settings.postgres.bin_dir);
    open_up(&draft)?;
    let cluster = Cluster::restore(path.join("postgres/data"), password.trim().to_owned(), of, recovery).await?;
    let renewed = renew(&cluster, settings).await;
    cluster.stop().await;
    drop(cluster);
    let (deployment, last_commit, position) = renewed?;
    data.belongs_to(deployment)?;
    fs::rename(draft.join("postgres"), data.path("postgres")).context("cannot move the restored store to its place")?;
    fs::remove_dir_all(&draft)?;
    Ok(Restored { backup: note.name, deployment, was: note.deployment, last_commit, position: position.to_string() })
}

/// A restored store is another one than before: it has not seen what came after.
async fn renew(cluster: &Cluster, settings: &Settings) -> Result<(Uuid, Option<Timestamp>, Position)> {
    let mut config = cluster.config();
    config.dbname(DATABASE);
    let oltp = oltp_of(config, settings)?;
    let (deployment, last_commit) = oltp.renew_deployment().await?;
    Ok((deployment, last_commit, oltp.position().await?))
}

/// A folder that PostgreSQL's account can pass through.
fn open_up(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o711).create(path).with_context(|| format!("cannot make {}", path.display()))
}

fn moment(options: &crate::cli::Restore) -> Result<Moment> {
    let Some(text) = &options.to_position else {
        return Ok(options.to_time.map_or(Moment::Latest, Moment::Time));
    };
    match text.parse() {
        Ok(Position::Wal(lsn)) => Ok(Moment::Position(lsn)),
        _ => bail!("`{text}` is no position of a write to the store; such a position begins with `w-`"),
    }
}

fn target(moment: &Moment) -> Target {
    match moment {
        Moment::Latest => Target::Latest,
        Moment::Time(time) => Target::Time(time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()),
        Moment::Position(lsn) => Target::Position(*lsn),
    }
}

/// The backup to begin with: the one that is named, or the last one that was complete before the moment.
fn choose(mut notes: Vec<(PathBuf, Note)>, name: Option<&str>, moment: &Moment) -> Result<(PathBuf, Note)> {
    let before = |note: &Note| match moment {
        Moment::Latest => true,
        Moment::Time(time) => note.ended_at <= *time,
        Moment::Position(lsn) => matches!(note.end.parse(), Ok(Position::Wal(end)) if end <= *lsn),
    };
    if let Some(name) = name {
        notes.retain(|(_, note)| note.name == name);
        let found =
            notes.pop().with_context(|| format!("there is no backup `{name}`; `storewide backup --list` shows all"))?;
        if !before(&found.1) {
            bail!("backup `{name}` was complete only after the moment that was asked for; begin with an earlier one");
        }
        return Ok(found);
    }
    notes.retain(|(_, note)| before(note));
    notes.pop().context("there is no backup that was complete before the moment that was asked for")
}

/// The archive of a backup: the folder that it is in, or the one that the store archived to when it was taken.
fn archive_of(folder: &Path, note: &Note) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok();
    let mut places = [folder, note.archive.clone()].into_iter().flatten();
    places.find(|place| place.join(WAL_FOLDER).is_dir())
}

/// The log of a lost data directory.
fn log_of(data_dir: &Path) -> Result<PathBuf> {
    let log = data_dir.join("postgres/data/pg_wal");
    log.canonicalize().with_context(|| format!("{} has no log of a store", data_dir.display()))
}

/// Makes a new data directory.
///
/// # Errors
/// When there is something in it, or it cannot be made.
pub fn new_data_dir(root: &Path) -> Result<DataDir> {
    if let Ok(mut entries) = fs::read_dir(root)
        // A file system of its own has this folder from the beginning.
        && entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"))
    {
        bail!("{} is not empty; name a new data directory with --data-dir", root.display());
    }
    DataDir::open(root)
}

/// Takes away what a failed restore has left in a directory that was new to it.
pub fn clear(data: &DataDir) {
    for name in [RESTORING, "secrets", "bus", "serving", "deployment", "lock"] {
        let path = data.path(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "what a failed restore has left cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &str, second: i64, end: u64) -> (PathBuf, Note) {
        let at = Timestamp::from_second(second).unwrap();
        let note = serde_json::json!({ "name": name, "program": "0", "deployment": null, "schema": 1, "postgres": 18, "begun_at": at,
            "ended_at": at, "timeline": 1, "wal_segment_bytes": 1, "start": "w-0000000000000000",
            "end": Position::Wal(end).to_string(), "files": 1, "bytes": 1, "archive": null, "secrets": {} });
        (PathBuf::from(name), serde_json::from_value(note).unwrap())
    }

    #[test]
    fn the_last_backup_before_the_moment_is_taken() {
        let chosen = |name, moment: Moment| {
            choose(vec![note("a", 10, 100), note("b", 20, 200)], name, &moment).map(|(_, note)| note.name)
        };
        let time = |second| Moment::Time(Timestamp::from_second(second).unwrap());
        assert_eq!(chosen(None, Moment::Latest).unwrap(), "b");
        assert_eq!(chosen(None, Moment::Position(200)).unwrap(), "b");
        assert_eq!(chosen(None, Moment::Position(199)).unwrap(), "a");
        assert_eq!(chosen(None, time(19)).unwrap(), "a");
        assert_eq!(chosen(Some("a"), Moment::Latest).unwrap(), "a");
        assert!(
            chosen(None, time(9)).is_err()
                && chosen(Some("b"), time(19)).is_err()
                && chosen(Some("c"), time(19)).is_err()
        );
    }
}
