//! Restoring: a base backup into a new directory, and from there forward through the archived log to a moment.

use crate::account::Account;
use crate::archive::Recovery;
use crate::layout::{Layout, sync_tree, write_private};
use crate::manifest;
use crate::{Cluster, PostgresError, Settings};
use std::fs;
use std::path::{Path, PathBuf};

/// How PostgreSQL says that the log ended before the moment that it was to come to.
const FELL_SHORT: &str = "recovery ended before configured recovery target was reached";

impl Cluster {
    /// Brings a base backup back to a moment, in a directory that has no cluster yet, and runs it. `password` is the one of the
    /// cluster that was backed up. Returns when it takes writes: on a new timeline, without the replication slots of the old one.
    ///
    /// # Errors
    /// [`PostgresError::Backup`] when the backup is damaged, the directory holds a cluster, or the log ends before the moment;
    /// else as [`Cluster::start`].
    pub async fn restore(
        base: PathBuf,
        password: String,
        mut settings: Settings,
        recovery: Recovery,
    ) -> Result<Self, PostgresError> {
        let data_dir = settings.data_dir.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&base, &password, &data_dir)).await;
        prepared.map_err(|error| PostgresError::Start(error.to_string()))??;
        // What is archived from now on is another store's.
        settings.archive = None;
        settings.recovery = Some(recovery);
        let log = settings.data_dir.join("postgres.log");
        Self::start_once(settings).await.map_err(|error| match error {
            PostgresError::Start(text) => why(&log).unwrap_or(PostgresError::Start(text)),
            other => other,
        })
    }
}

/// Why PostgreSQL gave up, by its log, which begins with this restore.
fn why(log: &Path) -> Option<PostgresError> {
    let text = fs::read_to_string(log).ok()?;
    let behind = |word: &'static str| {
        text.lines().rev().filter_map(move |line| line.split_once(word).map(|(_, rest)| rest.trim()))
    };
    // Whoever asks whether it is up is turned away with a FATAL, too.
    let fatal = behind("FATAL:").find(|fatal| !fatal.starts_with("the database system is"))?;
    if !fatal.contains(FELL_SHORT) {
        return Some(PostgresError::Start(fatal.to_owned()));
    }
    let end = behind("last completed transaction was at log time").next().unwrap_or("unknown");
    Some(PostgresError::Backup(format!(
        "the log ends before the moment that was asked for, or nothing was committed after it; its last transaction is of {end}. Name \
         an earlier moment, or none to restore all there is"
    )))
}

fn prepare(base: &Path, password: &str, data_dir: &Path) -> Result<(), PostgresError> {
    let account = Account::current();
    let layout = Layout::prepare(data_dir, account)?;
    if layout.data.exists() {
        return Err(PostgresError::Backup(format!("{} holds a cluster; restore into a new one", data_dir.display())));
    }
    write_private(&layout.password, password.as_bytes())?;
    manifest::copy(base, &layout.data, &|path| account.own(path))?;
    // Its presence makes PostgreSQL go on through the archived log; it removes it at the end.
    let signal = layout.data.join("recovery.signal");
    write_private(&signal, b"")?;
    account.own(&signal)?;
    sync_tree(&layout.root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_not_that_somebody_was_turned_away() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let says = |text: &str| {
            fs::write(log.path(), text).unwrap();
            why(log.path()).map(|error| error.to_string()).unwrap_or_default()
        };
        let turned_away = "1 FATAL:  the database system is in recovery mode\n";
        let fell_short = format!(
            "1 LOG:  last completed transaction was at log time 2026-01-31 12:00:00+00\n1 FATAL:  {FELL_SHORT}\n{turned_away}"
        );
        let reason = says(&fell_short);
        assert!(reason.contains("the log ends before") && reason.contains("2026-01-31 12:00:00+00"), "{reason}");
        assert!(says(&format!("1 FATAL:  could not open file\n{turned_away}")).contains("could not open file"));
        assert_eq!(says(turned_away), "");
    }
}
