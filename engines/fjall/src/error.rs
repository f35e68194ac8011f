//! Why a store does not open.

use bus::BusError;
use std::path::{Path, PathBuf};

/// A store that cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open. Stop it, or choose another directory.
    #[error("{0} is in use by another process: stop it or choose another data directory")]
    InUse(PathBuf),
    /// The directory was written by another version of the format. Use the program that wrote it, or an empty directory.
    #[error("{path} has format {found}, this program reads format {wanted}: use the program that wrote it")]
    Format {
        /// The directory.
        path: PathBuf,
        /// Version found.
        found: u8,
        /// Version wanted.
        wanted: u8,
    },
    /// What lies on the disk does not read. Check the disk; restore the directory from a copy.
    #[error("{path} does not read: {reason}. Check the disk, or restore the directory from a copy")]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file system refused. Check rights and free space, then try again.
    #[error("{path} does not open: {source}. Check rights and free space, then start again")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What fjall said.
        source: fjall::Error,
    },
}

impl StoreError {
    pub(crate) fn open(path: &Path, source: fjall::Error) -> Self {
        use fjall::Error::{Decompress, InvalidTag, InvalidTrailer, JournalRecovery, Locked, Storage, Unrecoverable};
        let path = path.to_owned();
        match source {
            Locked => Self::InUse(path),
            Storage(fjall::LsmError::Io(_)) => Self::Open { path, source },
            Decompress(_) | InvalidTag(_) | InvalidTrailer | JournalRecovery(_) | Storage(_) | Unrecoverable => {
                Self::Damaged { path, reason: source.to_string() }
            }
            _ => Self::Open { path, source },
        }
    }
}

/// A failure of the database, as the bus reports it.
pub(crate) fn engine(error: impl std::fmt::Display) -> BusError {
    BusError::Engine(error.to_string())
}
