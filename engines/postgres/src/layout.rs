//! The files of a private cluster.

use crate::PostgresError;
use crate::account::Account;
use crate::lock::Lock;
use rand::Rng;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a socket's directory: 107 bytes less `/.s.PGSQL.5432.lock`.
const SOCKET_DIR_MAX: usize = 85;

/// Where everything is.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Our directory.
    pub(crate) root: PathBuf,
    /// The cluster itself (PGDATA).
    pub(crate) data: PathBuf,
    /// Password of the superuser.
    pub(crate) password: PathBuf,
    /// PostgreSQL's log.
    pub(crate) log: PathBuf,
    /// Directory of the socket.
    pub(crate) socket_dir: PathBuf,
}

impl Layout {
    /// Makes our directory, if need be, and says where its files are.
    pub(crate) fn prepare(root: &Path, account: Account) -> Result<Self, PostgresError> {
        fs::create_dir_all(root).map_err(PostgresError::io("cannot create", root))?;
        let root = root.canonicalize().map_err(PostgresError::io("cannot resolve", root))?;
        account.check_way(&root)?;
        let run = root.join("run");
        let bytes = run.as_os_str().as_encoded_bytes();
        // Servers and clients alike take a comma for the end of one directory and the begin of another.
        let socket_dir = if bytes.len() <= SOCKET_DIR_MAX && !bytes.contains(&b',') {
            run
        } else {
            let digest = hex::encode(Sha256::digest(root.as_os_str().as_encoded_bytes()));
            PathBuf::from(format!("/tmp/storewide-{}-{}", account.uid(), &digest[..16]))
        };
        private_directory(&socket_dir, account)?;
        Ok(Self {
            data: root.join("data"),
            password: root.join("password"),
            log: root.join("postgres.log"),
            socket_dir,
            root,
        })
    }

    /// Takes the lock that keeps a second process away.
    pub(crate) fn lock(&self) -> Result<Lock, PostgresError> {
        let path = self.root.join("lock");
        Lock::take(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => PostgresError::InUse(self.root.clone()),
            _ => PostgresError::io("cannot lock", &path)(error),
        })
    }

    /// The major version of the cluster, if there is one.
    pub(crate) fn major(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The superuser's password; made up at the first call, on disk before it returns.
    pub(crate) fn read_or_make_password(&self) -> Result<String, PostgresError> {
        match fs::read_to_string(&self.password) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(PostgresError::io("cannot read", &self.password)(error)),
        }
        let mut bytes = [0_u8; 24];
        rand::rng().fill(&mut bytes);
        let password = hex::encode(bytes);
        let draft = self.root.join("password.new");
        write_private(&draft, password.as_bytes())?;
        fs::rename(&draft, &self.password).map_err(PostgresError::io("cannot rename", &draft))?;
        sync_directory(&self.root)?;
        Ok(password)
    }
}

/// Writes a file that only its owner can read, and flushes it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot write", path)(error);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Makes a folder that only its owner may enter; one that is there stays as it is.
pub(crate) fn make_private(path: &Path) -> Result<(), PostgresError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(PostgresError::io("cannot create", path))
}

/// A new file that only its owner can read.
pub(crate) fn create_private(path: &Path) -> Result<File, PostgresError> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    made.map_err(PostgresError::io("cannot create", path))
}

/// The folder that PostgreSQL keeps its log in.
pub(crate) fn archive_folder(path: &Path, account: Account) -> Result<(), PostgresError> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(parent)
            .map_err(PostgresError::io("cannot create", parent))?;
        account.check_way(parent)?;
    }
    private_directory(path, account)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), PostgresError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(PostgresError::io("cannot flush", path))
}

/// Makes a directory durable with all that is in it.
#[cfg(target_os = "linux")]
pub(crate) fn sync_tree(dir: &Path) -> Result<(), PostgresError> {
    let failed = PostgresError::io("cannot flush", dir);
    // One flush of the whole file system costs a tenth of a flush for each of a thousand files.
    File::open(dir).and_then(|dir| rustix::fs::syncfs(&dir).map_err(Into::into)).map_err(failed)
}

/// Makes a directory durable with all that is in it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_tree(dir: &Path) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot flush", dir)(error);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path()).and_then(|file| file.sync_all()).map_err(failed)?;
        }
    }
    sync_directory(dir)
}

/// A directory that only the account may enter. One that belongs to somebody else is refused: its owner could stand between us
/// and PostgreSQL.
fn private_directory(path: &Path, account: Account) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot prepare", path)(error);
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.own(path)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    if !meta.is_dir() || (meta.uid() != account.uid() && meta.uid() != rustix::process::geteuid().as_raw()) {
        return Err(failed(std::io::Error::other("it belongs to somebody else; remove it")));
    }
    account.own(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)
}
