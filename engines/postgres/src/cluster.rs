//! The private cluster: start, watch, restart, stop.

use crate::account::Account;
use crate::back_off::BackOff;
use crate::error::describe;
use crate::layout::{self, Layout};
use crate::lock::Lock;
use crate::postmaster::{self, Postmaster};
use crate::{Installation, PostgresError, Settings, conf, initialise, metrics};
use runtime::Meter;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use tokio_util::sync::CancellationToken;

/// Name of the cluster's superuser, the only role that it starts with.
pub(crate) const SUPERUSER: &str = "storewide";

/// The port in the socket's name; nothing listens on TCP.
const PORT: u16 = 5432;

/// How often a start is tried again when PostgreSQL ends at once: after a kill, the last of the old processes hold on to the
/// shared memory for a moment.
const START_ATTEMPTS: u32 = 25;
const START_PAUSE: Duration = Duration::from_millis(200);

/// A running private cluster. Clones are the same cluster; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    installation: Installation,
    account: Account,
    layout: Layout,
    config: Config,
    password: String,
    postmaster: Mutex<Option<Postmaster>>,
    stopping: AtomicBool,
    /// Held as long as we live, so that no second process starts the same cluster.
    _lock: Lock,
}

impl Cluster {
    /// Starts the cluster, and makes it first if the directory is empty. Returns when it answers queries; after a crash that
    /// includes PostgreSQL's recovery.
    ///
    /// # Errors
    /// When the binaries are missing, the directory cannot be used or belongs to a running process, or PostgreSQL refuses.
    pub async fn start(settings: Settings) -> Result<Self, PostgresError> {
        Self::start_with(settings, true).await
    }

    /// `durable`: whether a new cluster is flushed before it is used.
    pub(crate) async fn start_with(settings: Settings, durable: bool) -> Result<Self, PostgresError> {
        let cluster = Self::prepare(settings, durable).await?;
        cluster.launch(START_ATTEMPTS).await?;
        Ok(cluster)
    }

    /// As [`Cluster::start`] in a directory that no process has used before: whatever ends it now will end it again.
    pub(crate) async fn start_once(settings: Settings) -> Result<Self, PostgresError> {
        let cluster = Self::prepare(settings, true).await?;
        cluster.launch(1).await?;
        Ok(cluster)
    }

    async fn prepare(settings: Settings, durable: bool) -> Result<Self, PostgresError> {
        let prepared = tokio::task::spawn_blocking(move || Inner::prepare(settings, durable)).await;
        Ok(Self { inner: Arc::new(prepared.map_err(|error| PostgresError::Start(error.to_string()))??) })
    }

    /// Connection settings of the superuser for the database `postgres`; set `dbname` for another one.
    #[must_use]
    pub fn config(&self) -> Config {
        self.inner.config.clone()
    }

    /// Connection URL of the superuser for a database. Holds the password: never log it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent(&self.inner.layout.socket_dir.to_string_lossy());
        format!("postgresql://{SUPERUSER}:{}@/{}?host={host}&port={PORT}", self.inner.password, percent(database))
    }

    /// Directory of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.inner.layout.socket_dir
    }

    /// The binaries in use.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.inner.installation
    }

    /// PostgreSQL's log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.inner.layout.log
    }

    /// Process id of the postmaster; none while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let postmaster = self.inner.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        let running = postmaster.as_ref().filter(|postmaster| postmaster.end().is_none());
        running.map(|postmaster| postmaster.pid.as_raw_nonzero().get())
    }

    /// Creates a database; does nothing when it exists.
    ///
    /// # Errors
    /// When PostgreSQL is down or refuses the name.
    pub async fn create_database(&self, name: &str) -> Result<(), PostgresError> {
        let (client, connection) = self.inner.config.connect(NoTls).await?;
        let driver = tokio::spawn(connection);
        let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
        let created = client.batch_execute(&statement).await;
        drop(client);
        let _ = driver.await;
        match created {
            Err(error) if error.code() != Some(&SqlState::DUPLICATE_DATABASE) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Watches PostgreSQL and starts it again, with back-off, whenever it ends; stops it when told to. Only a stop ends this.
    ///
    /// # Errors
    /// Never; the result is what a task of the house returns.
    pub async fn supervise(&self, meter: Meter, stop: CancellationToken) -> Result<(), PostgresError> {
        let mut back_off = BackOff::default();
        let mut up_since = Some(Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                end = self.ended() => {
                    if self.inner.stopping.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    tracing::error!(target: "oltp", end, "PostgreSQL ended; starting it again");
                    meter.failed(metrics::EXITED, &format!("PostgreSQL ended: {end}"));
                }
            }
            let pause = back_off.after(up_since.take().map_or(Duration::ZERO, |since| since.elapsed()));
            let restart = async {
                tokio::time::sleep(pause).await;
                self.launch(START_ATTEMPTS).await
            };
            let restarted = tokio::select! {
                () = stop.cancelled() => break,
                restarted = restart => restarted,
            };
            match restarted {
                Ok(()) => {
                    meter.count(metrics::RESTARTED, 1);
                    up_since = Some(Instant::now());
                }
                Err(error) => {
                    tracing::error!(target: "oltp", %error, "PostgreSQL does not start; trying again");
                    meter.failed(metrics::RESTART, &error.to_string());
                }
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Stops PostgreSQL: open transactions are rolled back, everything committed is on disk. Returns when it has ended.
    pub async fn stop(&self) {
        let inner = Arc::clone(&self.inner);
        let stopped = tokio::task::spawn_blocking(move || inner.stop()).await;
        if let Err(error) = stopped {
            tracing::error!(target: "oltp", %error, "stopping PostgreSQL failed");
        }
    }

    /// Resolves when PostgreSQL has ended, with how.
    async fn ended(&self) -> String {
        let exited = {
            let postmaster = self.inner.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
            postmaster.as_ref().map(|postmaster| postmaster.exited.clone())
        };
        match exited {
            Some(mut exited) => match exited.wait_for(Option::is_some).await {
                Ok(end) => end.clone().unwrap_or_default(),
                Err(_) => "nobody waits for it any more".to_owned(),
            },
            None => "it was not started".to_owned(),
        }
    }

    async fn launch(&self, attempts: u32) -> Result<(), PostgresError> {
        let mut attempt = 1;
        loop {
            let inner = Arc::clone(&self.inner);
            let spawned = tokio::task::spawn_blocking(move || inner.spawn()).await;
            spawned.map_err(|error| PostgresError::Start(error.to_string()))??;
            match self.ready().await {
                Err(error) if error.is_retryable() && attempt < attempts => attempt += 1,
                result => return result,
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    /// Waits until queries are answered, or until PostgreSQL has ended. Recovery may take as long as it takes.
    async fn ready(&self) -> Result<(), PostgresError> {
        let mut pause = Duration::from_millis(5);
        loop {
            let refused = match self.inner.config.connect(NoTls).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if matches!(
                refused.code(),
                Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
            ) {
                return Err(PostgresError::Password(self.inner.layout.password.clone()));
            }
            tracing::trace!(target: "oltp", reason = describe(&refused), "PostgreSQL is not ready yet");
            if self.pid().is_none() {
                let end = self.ended().await;
                return Err(PostgresError::Start(format!(
                    "{end}; its log ends with: {}",
                    tail(&self.inner.layout.log)
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

impl Inner {
    fn prepare(settings: Settings, durable: bool) -> Result<Self, PostgresError> {
        let account = Account::current();
        let layout = Layout::prepare(&settings.data_dir, account)?;
        let lock = layout.lock()?;
        let installation = Installation::find(settings.bin_dir.as_deref(), layout.major())?;
        if let Some(archive) = &settings.archive {
            layout::archive_folder(&archive.wal(), account)?;
        }
        let password = layout.read_or_make_password()?;
        initialise::ensure(&layout, &installation, account, &password, durable)?;
        let config = settings_of(&layout, &password);
        let (postmaster, stopping) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { settings, installation, account, layout, config, password, postmaster, stopping, _lock: lock })
    }

    /// Starts a postmaster, unless one runs.
    fn spawn(&self) -> Result<(), PostgresError> {
        let mut postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Ordering::SeqCst) || postmaster.as_ref().is_some_and(|running| running.end().is_none()) {
            return Ok(());
        }
        postmaster::clear_old(&self.layout.data)?;
        conf::write(&self.layout, &self.settings, self.installation.major)?;
        *postmaster = Some(Postmaster::spawn(&self.installation.program("postgres"), &self.layout, self.account)?);
        Ok(())
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let postmaster = self.postmaster.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(postmaster) = postmaster.as_ref() {
            postmaster.stop();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How to reach the cluster of a directory.
pub(crate) fn settings_of(layout: &Layout, password: &str) -> Config {
    let mut config = Config::new();
    config
        .host_path(&layout.socket_dir)
        .port(PORT)
        .user(SUPERUSER)
        .password(password)
        .dbname("postgres")
        .application_name("storewide")
        .connect_timeout(Duration::from_secs(5));
    config
}

/// The last lines of a log, for an error's text.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(1024);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        Ok(last.into_iter().rev().collect::<Vec<_>>().join("; "))
    };
    read().unwrap_or_else(|error| format!("(no log: {error})"))
}

/// Percent-encodes what is not plain in a URL.
fn percent(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
