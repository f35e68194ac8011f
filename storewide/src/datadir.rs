//! The data directory: what lies where, the lock, the secrets, and the note of the running server.

use anyhow::{Context, Result, bail};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Name of a store that is being restored.
pub const RESTORING: &str = ".restoring";
/// How often, and how long apart, the lock is tried for.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Everything that a house keeps, in one folder.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// Holds the data directory for this process; dropping it lets go.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for the lock on it")] File);

/// Where the running server listens: written once all doors are open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// API and console.
    pub api: SocketAddr,
    /// Gateway.
    pub gateway: SocketAddr,
    /// Health and metrics.
    pub health: SocketAddr,
}

/// Makes the folders that hold secrets and data, which nobody else may enter. The root can be passed through, not listed: a
/// PostgreSQL that root starts runs under another account, and keeps its own folder private.
fn private_folders(root: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(root)?;
    for name in ["secrets", "bus", "serving"] {
        let folder = root.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

impl DataDir {
    /// A data directory; made if missing.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(root: &Path) -> Result<Self> {
        let made = private_folders(root);
        made.with_context(|| format!("cannot make the data directory {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("cannot read {}", root.display()))?;
        Ok(Self { root })
    }

    /// An existing data directory.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing(root: &Path) -> Result<Self> {
        if !root.join("secrets").is_dir() {
            bail!(
                "{} is no data directory; name one with --data-dir, or start one with `storewide serve`",
                root.display()
            );
        }
        Self::open(root)
    }

    /// A place in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock(&self) -> Result<Lock> {
        // A command that asks whether a server runs holds the lock for an instant; that is no other server.
        for _ in 0..LOCK_TRIES {
            if let Some(lock) = self.free()? {
                return Ok(lock);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        bail!("another process serves {}; stop it, or use another --data-dir", self.root.display())
    }

    /// The lock, if nobody holds it.
    fn free(&self) -> Result<Option<Lock>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.path("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data directory"),
        }
    }

    /// A secret of this deployment: made at first use, 32 random bytes in hex, readable by the owner only.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn secret(&self, name: &str) -> Result<String> {
        if let Some(secret) = self.stored_secret(name)? {
            return Ok(secret);
        }
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let secret = hex::encode(bytes);
        self.store_secret(name, &secret)?;
        Ok(secret)
    }

    /// A secret that was stored before.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stored_secret(&self, name: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.secret_path(name)) {
            Ok(secret) => Ok(Some(secret.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read the secret `{name}`")),
        }
    }

    /// Stores a secret, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store_secret(&self, name: &str, secret: &str) -> Result<()> {
        write_whole(&self.secret_path(name), secret.as_bytes(), 0o600)
    }

    /// Notes which store this directory belongs to, or checks that it is that one: the log, the profiles and the tables hold
    /// what came from it, and would mix it with what comes from another.
    ///
    /// # Errors
    /// When the directory belongs to another store.
    pub fn belongs_to(&self, deployment: Uuid) -> Result<()> {
        let path = self.path("deployment");
        match fs::read_to_string(&path) {
            Ok(known) if known.trim() == deployment.to_string() => Ok(()),
            Ok(_) => bail!(
                "{} belongs to another PostgreSQL database than the one it is started with, or to this one before it was restored; name its server with --pg-url, or use another --data-dir",
                self.root.display()
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_whole(&path, deployment.to_string().as_bytes(), 0o644)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The store that this directory belongs to; none before its first start.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn deployment(&self) -> Result<Option<Uuid>> {
        let path = self.path("deployment");
        match fs::read_to_string(&path) {
            Ok(known) => Ok(known.trim().parse().ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Refuses a directory whose restore was cut short: it would be served as a new, empty store.
    ///
    /// # Errors
    /// When it was.
    pub fn is_whole(&self) -> Result<()> {
        if self.path(RESTORING).exists() {
            bail!("a restore into {} was cut short; remove the directory, and restore again", self.root.display());
        }
        Ok(())
    }

    /// Notes where the server listens.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_running(&self, running: &Running) -> Result<()> {
        write_whole(&self.path("server.json"), &serde_json::to_vec_pretty(running)?, 0o644)
    }

    /// Removes the note; a missing one is no failure.
    pub fn forget_running(&self) {
        if let Err(error) = fs::remove_file(self.path("server.json")) {
            tracing::debug!(%error, "no note of the server to remove");
        }
    }

    /// The server that runs on this directory, if one does.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        // Whoever can take the lock knows that nobody serves, whatever an old note says.
        if self.free().ok()?.is_some() {
            return None;
        }
        let note = fs::read(self.path("server.json")).ok()?;
        serde_json::from_slice(&note).ok()
    }

    fn secret_path(&self, name: &str) -> PathBuf {
        self.root.join("secrets").join(name)
    }
}

/// Writes a file so that a crash leaves the old one or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let draft = path.with_extension("draft");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        // The name is part of the folder: without this a power cut may take it back.
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_store() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        data.belongs_to(one).unwrap();
        data.belongs_to(one).unwrap();
        assert!(data.belongs_to(other).unwrap_err().to_string().contains("--pg-url"));
    }

    #[test]
    fn secrets_stay_and_locks_exclude() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.secret("token").unwrap(), data.secret("token").unwrap());
        assert_ne!(data.secret("token").unwrap(), data.secret("other").unwrap());
        let held = data.lock().unwrap();
        assert!(data.lock().is_err());
        drop(held);
        assert!(data.running().is_none());
        for (name, mode) in [("secrets", 0o700), ("secrets/token", 0o600), ("bus", 0o700), ("serving", 0o700)] {
            let found = fs::metadata(data.path(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}");
        }
    }
}
