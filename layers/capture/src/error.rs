//! What can go wrong in capture.

use crate::lint::Finding;
use bus::BusError;

/// A failure of capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A bad configuration.
    #[error("capture: {0}")]
    Config(String),
    /// A table of the publication makes PostgreSQL refuse writes.
    #[error("{}", crate::lint::report(.0))]
    Lint(Vec<Finding>),
    /// The role lacks a right.
    #[error("role {role} may not {what}; run `{mend}` as a superuser")]
    Rights {
        /// The role.
        role: String,
        /// What it may not do.
        what: String,
        /// The statement that mends it.
        mend: String,
    },
    /// The store is another one than the one that the bus holds the changes of.
    #[error(
        "the store is not the one whose changes are on the bus: {0}. Bring back the store or the bus from the same time, or start with an empty bus"
    )]
    OtherStore(String),
    /// The store was read again too often.
    #[error(
        "the store was read as a whole {0} times again within an hour; capture waits until the first of them is an hour ago. The markers on `capture.progress` say why: look at max_slot_wal_keep_size, at who drops the slot or changes the publication, and at what cuts snapshots short"
    )]
    TooManySnapshots(usize),
    /// PostgreSQL is down, restarting or refuses.
    #[error("PostgreSQL: {0}")]
    Postgres(String),
    /// PostgreSQL sent what is no `pgoutput`.
    #[error("pgoutput: {0}")]
    Protocol(String),
    /// The bus refused.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl CaptureError {
    /// Whether trying again may help without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Postgres(_) | Self::Protocol(_) | Self::TooManySnapshots(_) => true,
            Self::Bus(error) => error.is_retryable(),
            Self::Config(_) | Self::Lint(_) | Self::Rights { .. } | Self::OtherStore(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for CaptureError {
    fn from(error: tokio_postgres::Error) -> Self {
        // The detail of a server's error may quote a row; message and code do not.
        Self::Postgres(match error.as_db_error() {
            Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
            None => match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        })
    }
}

impl From<pgwire_replication::PgWireError> for CaptureError {
    fn from(error: pgwire_replication::PgWireError) -> Self {
        Self::Postgres(format!("replication: {error}"))
    }
}
