//! Clusters and databases for the tests of all crates: real PostgreSQL, real fsync, nothing left behind.

use crate::{Cluster, Installation, PostgresError, Settings};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

/// Which PostgreSQL a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// What the machine has, else the pinned build.
    System,
    /// The pinned build of version 18.
    Wheel18,
}

impl Version {
    /// Both, for tests that must hold on each.
    pub const BOTH: [Self; 2] = [Self::System, Self::Wheel18];

    /// Its binaries, for tests that start a cluster, or the whole program, by settings of their own. Blocks.
    ///
    /// # Errors
    /// As [`Installation::find`].
    pub fn installation(self) -> Result<Installation, PostgresError> {
        match self {
            Self::System => Installation::find(None, None),
            Self::Wheel18 => Installation::wheel(),
        }
    }
}

/// Makes two tests of each function: one on the oldest and one on the newest PostgreSQL that the program runs on.
#[macro_export]
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            #[test]
            fn on_the_systems() {
                $crate::testing::run(Box::pin(super::$test($crate::Version::System)));
            }

            #[test]
            fn on_the_newest() {
                $crate::testing::run(Box::pin(super::$test($crate::Version::Wheel18)));
            }
        })+
    };
}

/// Runs a test on one thread. Not generic, as `tokio::test` is: some hundred tests share one copy of the runtime's loop.
///
/// # Panics
/// When the test does, or no runtime can be made.
#[expect(clippy::expect_used, reason = "a test that cannot begin should end")]
pub fn run(test: Pin<Box<dyn Future<Output = ()>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(test);
}

/// A cluster in a temporary directory; stops and disappears when it is dropped, or when the process dies.
pub struct Temporary {
    /// Dropped first: PostgreSQL ends before its directory goes.
    cluster: Cluster,
    _directory: TemporaryDirectory,
}

impl Deref for Temporary {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Cluster {
    /// A new cluster in a temporary directory.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn temporary(version: Version) -> Result<Temporary, PostgresError> {
        let directory = TemporaryDirectory::create()?;
        let mut settings = Settings::new(directory.path().join("pg"));
        settings.shared_buffers_mb = 32;
        let found = tokio::task::spawn_blocking(move || version.installation()).await;
        settings.bin_dir = Some(found.map_err(|error| PostgresError::Start(error.to_string()))??.bin_dir);
        let cluster = Self::start_with(settings, false).await?;
        Ok(Temporary { cluster, _directory: directory })
    }
}

/// The cluster that all tests of one process share.
///
/// # Errors
/// As [`Cluster::start`].
pub async fn shared(version: Version) -> Result<&'static Cluster, PostgresError> {
    static SYSTEM: OnceCell<Temporary> = OnceCell::const_new();
    static WHEEL: OnceCell<Temporary> = OnceCell::const_new();
    let cell = match version {
        Version::System => &SYSTEM,
        Version::Wheel18 => &WHEEL,
    };
    cell.get_or_try_init(|| Cluster::temporary(version)).await.map(|temporary| &temporary.cluster)
}

/// An empty database of its own in the shared cluster.
///
/// # Errors
/// As [`Cluster::start`].
pub async fn fresh_database(version: Version) -> Result<Config, PostgresError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let cluster = shared(version).await?;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    cluster.create_database(&name).await?;
    let mut config = cluster.config();
    config.dbname(name);
    Ok(config)
}

/// A connection, driven by a task of the current runtime.
///
/// # Errors
/// When PostgreSQL refuses.
pub async fn connect(config: &Config) -> Result<Client, PostgresError> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A directory that goes away even when the process is killed: a shell waits for the end of a pipe that only we hold.
struct TemporaryDirectory {
    path: PathBuf,
    watcher: Option<ChildStdin>,
}

/// Waits until the pipe is closed and PostgreSQL has removed its pid file (10 s at most), then removes the directory.
const WATCHER: &str = r#"cat >/dev/null; n=0; while [ -e "$0/pg/data/postmaster.pid" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; rm -rf "$0""#;

impl TemporaryDirectory {
    fn create() -> Result<Self, PostgresError> {
        let root = Path::new("/tmp");
        let made = tempfile::Builder::new().prefix("storewide-pg-").tempdir_in(root);
        let path = made.map_err(PostgresError::io("cannot create a directory in", root))?.keep();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(PostgresError::io("cannot open up", &path))?;
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(PostgresError::io("cannot watch", &path))?;
        Ok(Self { path, watcher: watcher.stdin.take() })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        drop(self.watcher.take());
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
