//! Engine: PostgreSQL.
//!
//! Takes: a data directory, or the URL of a server that somebody else runs. Gives: a private PostgreSQL cluster that starts,
//! restarts when it dies and stops with the program; or a checked connection configuration. Never: turns fsync off; opens a
//! TCP port; deletes a finished data directory; runs PostgreSQL as root.

mod account;
mod archive;
mod attach;
mod back_off;
mod backup;
mod cache;
mod child;
mod cluster;
mod conf;
mod error;
mod external;
mod initialise;
mod installation;
mod layout;
mod lock;
mod manifest;
pub mod metrics;
mod postmaster;
mod restore;
pub mod testing;
mod wheel;

pub use archive::{Archive, Recovery, Target, WAL_FOLDER};
pub use attach::attach;
pub use backup::base_backup;
pub use cluster::Cluster;
pub use error::PostgresError;
pub use external::external;
pub use installation::{Installation, OLDEST_MAJOR};
pub use manifest::{BaseBackup, verify};
pub use testing::Version;
/// How to reach a server, and a connection to it, in the words of the driver.
pub use tokio_postgres::{Client, Config};

use std::path::PathBuf;

/// How a private cluster is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our directory: holds the cluster (`data`), the password, the log, the lock and, where its path is short enough, the socket.
    pub data_dir: PathBuf,
    /// Directory of the binaries `postgres` and `initdb`; found by [`Installation::find`] where it is not given.
    pub bin_dir: Option<PathBuf>,
    /// `shared_buffers`, in MiB; what is not used takes no memory. Small, since PostgreSQL shares a laptop with all else.
    pub shared_buffers_mb: u32,
    /// WAL that a replication slot may hold back, in MiB; by default 10 GiB or a fifth of the disk, whichever is less.
    pub max_slot_wal_keep_mb: Option<u64>,
    /// `max_connections`.
    pub max_connections: u32,
    /// Where the log is kept for restores; nowhere by default.
    pub archive: Option<Archive>,
    /// What a cluster that is being restored does when it starts.
    pub(crate) recovery: Option<Recovery>,
}

impl Settings {
    /// The defaults, in a directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            shared_buffers_mb: 256,
            max_slot_wal_keep_mb: None,
            max_connections: 100,
            archive: None,
            recovery: None,
        }
    }
}
