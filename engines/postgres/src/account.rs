//! The account that PostgreSQL runs as: ours, or `nobody` when we are root, since PostgreSQL refuses root.

use crate::PostgresError;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// `nobody` and `nogroup`, on every Linux.
const NOBODY: u32 = 65_534;

/// Whose rights PostgreSQL has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// The uid to drop to; none when we are no root and stay who we are.
    dropped: Option<u32>,
}

impl Account {
    /// The account for this process.
    pub(crate) fn current() -> Self {
        Self { dropped: rustix::process::geteuid().is_root().then_some(NOBODY) }
    }

    /// The uid that owns PostgreSQL's files.
    pub(crate) fn uid(self) -> u32 {
        self.dropped.unwrap_or_else(|| rustix::process::geteuid().as_raw())
    }

    /// Lets a command run as this account. The standard library empties the supplementary groups when root drops to a uid.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some(uid) = self.dropped {
            command.uid(uid).gid(uid);
        }
    }

    /// Gives a path to the account.
    pub(crate) fn own(self, path: &Path) -> Result<(), PostgresError> {
        match self.dropped {
            Some(uid) => {
                chown(path, Some(uid), Some(uid)).map_err(PostgresError::io("cannot change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Checks that the account can come to a path: each directory above it, and itself, must be open to it.
    pub(crate) fn check_way(self, path: &Path) -> Result<(), PostgresError> {
        let Some(uid) = self.dropped else { return Ok(()) };
        for directory in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            let Ok(meta) = directory.metadata() else { continue };
            let mode = meta.permissions().mode();
            let open = mode & 0o001 != 0 || (meta.uid() == uid && mode & 0o100 != 0);
            if !open {
                return Err(PostgresError::Closed { uid, closed: directory.to_owned(), wanted: path.to_owned() });
            }
        }
        Ok(())
    }
}
