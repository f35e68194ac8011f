//! Taking a backup.

use super::{BASE, NOTE, Note, copy_secrets};
use crate::datadir::write_whole;
use crate::settings::Settings;
use crate::store::Store;
use anyhow::{Context, Result};
use engine_postgres::base_backup;
use model::{Position, Timestamp};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Takes a backup of a store into a folder, while it serves or not. It is there under its name only when it is complete and checked.
///
/// # Errors
/// When the store is not the private one, PostgreSQL refuses, or the folder cannot be written.
pub async fn take(store: &Store, settings: &Settings, folder: &Path) -> Result<Note> {
    let (cluster, installation) =
        store.private().context("only the private store is backed up; back your own server up by its own means")?;
    let (cluster, installation) = (cluster.clone(), installation.clone());
    let status = store.oltp.status().await?;
    let begun_at = Timestamp::now();
    let name = begun_at.strftime("%Y%m%dT%H%M%S%3fZ").to_string().replace('.', "");
    let base = folder.join(BASE);
    let private = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    // PostgreSQL's account passes through it to the archive.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    private(&base).with_context(|| format!("cannot make {}", base.display()))?;
    // The name begins with a dot until all of it is there.
    let draft = base.join(format!(".{name}"));
    let outcome = async {
        private(&draft.join("postgres"))?;
        private(&draft.join("secrets"))?;
        let (major, into) = (installation.major, draft.join("postgres/data"));
        let taken = tokio::task::spawn_blocking(move || base_backup(&cluster, &installation, &into)).await??;
        let password =
            fs::read(settings.data.path("postgres").join("password")).context("cannot read the store's password")?;
        write_whole(&draft.join("postgres/password"), &password, 0o600)?;
        let secrets = copy_secrets(&settings.data.path("secrets"), &draft.join("secrets"))?;
        let note = Note {
            name: name.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            deployment: status.schema.deployment,
            schema: status.schema.version,
            postgres: major,
            begun_at,
            ended_at: Timestamp::now(),
            timeline: taken.timeline,
            wal_segment_bytes: status.server.wal_segment_bytes,
            start: Position::Wal(taken.start).to_string(),
            end: Position::Wal(taken.end).to_string(),
            files: taken.files,
            bytes: taken.bytes,
            archive: settings.archive_dir()?,
            secrets,
        };
        write_whole(&draft.join(NOTE), &serde_json::to_vec_pretty(&note)?, 0o600)?;
        fs::rename(&draft, base.join(&name))?;
        fs::File::open(&base)?.sync_all()?;
        anyhow::Ok(note)
    };
    let outcome = outcome.await;
    if outcome.is_err()
        && let Err(error) = fs::remove_dir_all(&draft)
    {
        tracing::warn!(%error, path = %draft.display(), "what was written of the backup cannot be removed");
    }
    outcome
}
