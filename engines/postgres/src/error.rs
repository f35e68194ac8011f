//! What can go wrong with PostgreSQL.

use std::path::{Path, PathBuf};

/// A failure of the private cluster, or of an external server's check.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no binaries that fit.
    #[error(
        "no PostgreSQL {wanted} found: looked at PATH, /usr/lib/postgresql and Homebrew{tried}. {install}; or set the directory of the binaries; or \
         name a server by its URL"
    )]
    NotFound {
        /// What was wanted, such as `15 or newer`.
        wanted: String,
        /// How to install one.
        install: String,
        /// What else was tried and failed.
        tried: String,
    },
    /// The configured directory does not do.
    #[error(
        "the binaries in {dir} cannot be used: {reason}. Mend the configured directory, or remove it so that one is looked for"
    )]
    BinDir {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The pinned build could not be fetched or is not what it should be.
    #[error("the pinned PostgreSQL build cannot be used: {0}")]
    Wheel(String),
    /// PostgreSQL refuses to run as root, and the unprivileged account cannot get at a directory.
    #[error(
        "PostgreSQL does not run as root, and the account it runs as (uid {uid}) cannot enter {closed} on the way to {wanted}. Choose a directory \
         outside of it, such as /var/lib/storewide; or run as a plain user; or `chmod o+x {closed}`"
    )]
    Closed {
        /// The account.
        uid: u32,
        /// The directory that it cannot enter.
        closed: PathBuf,
        /// Where it has to go.
        wanted: PathBuf,
    },
    /// Another process runs this cluster.
    #[error("{0} is in use by another running process; stop that one, or choose another data directory")]
    InUse(PathBuf),
    /// The cluster could not be made.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// PostgreSQL did not come up, or ended while it did.
    #[error("PostgreSQL did not start: {0}")]
    Start(String),
    /// An older postmaster of the same cluster does not end.
    #[error("an older PostgreSQL (process {0}) of this data directory does not stop; end it by hand: `kill -QUIT {0}`")]
    Old(i32),
    /// The password of the data directory is not the cluster's.
    #[error("the cluster refuses the password in {0}: the file was changed or belongs to another cluster; restore it")]
    Password(PathBuf),
    /// A file or directory.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A backup could not be taken, or cannot be restored.
    #[error("{0}")]
    Backup(String),
    /// The server cannot be reached or refused a statement.
    #[error("PostgreSQL: {0}")]
    Server(String),
    /// An external server does not fulfil what the program needs.
    #[error("the PostgreSQL server does not do: {0}")]
    Unfit(String),
}

impl PostgresError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Server(_))
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(describe(&error))
    }
}

/// An error with its cause, without the detail of rows that a server may add.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
