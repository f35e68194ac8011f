//! Opening: the database, its keyspaces, and what a restart has to know of each partition.

use crate::chunk::Chunk;
use crate::topics::{Mark, Partition, Topic, Topics, decode_spec};
use crate::writer::{Queue, Work};
use crate::{FjallBus, Options, StoreError, journal, keys, writer};
use bus::{BusError, Watermarks};
use bytes::Bytes;
use fjall::config::BlockSizePolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use runtime::Meter;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;

/// The database and what all parts share of it.
pub(crate) struct Shared {
    pub(crate) db: Database,
    pub(crate) log: Keyspace,
    pub(crate) state: Keyspace,
    pub(crate) meta: Keyspace,
    pub(crate) topics: Topics,
    /// Next offset to read by key in `meta`. The writer holds it while it shows a commit, records included, and readers take it
    /// for watermarks too: so a step shows in all of its partitions at once.
    committed: RwLock<HashMap<Vec<u8>, i64>>,
    pub(crate) options: Options,
    pub(crate) meter: OnceLock<Meter>,
    pub(crate) started: Instant,
    failure: OnceLock<String>,
    pub(crate) failed: CancellationToken,
}

impl Shared {
    /// Refuses everything once a write has failed: what the disk holds behind that write is unknown until a restart reads it.
    pub(crate) fn healthy(&self) -> Result<(), BusError> {
        self.failure.get().map_or(Ok(()), |failure| Err(BusError::Poisoned(failure.clone())))
    }

    /// What readers see; no commit shows while it is held.
    pub(crate) fn seen(&self) -> RwLockReadGuard<'_, HashMap<Vec<u8>, i64>> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What readers see, for the writer to change.
    pub(crate) fn show(&self) -> RwLockWriteGuard<'_, HashMap<Vec<u8>, i64>> {
        self.committed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ends of a partition, as of the last commit that shows.
    pub(crate) fn ends(&self, topic: &Topic, partition: i32) -> Result<Watermarks, BusError> {
        let partition = topic.partition(partition)?;
        let _whole = self.seen();
        Ok(partition.ends())
    }

    /// Notes a failed write, for good.
    pub(crate) fn poison(&self, error: &dyn std::fmt::Display) -> BusError {
        let text = format!("a write failed ({error}); nothing is accepted until a restart. Check the disk");
        let text = self.failure.get_or_init(|| text).clone();
        tracing::error!(target: "bus", error = text, "the store is poisoned");
        if let Some(meter) = self.meter.get() {
            meter.failed(crate::metrics::COMMIT, &text);
        }
        self.failed.cancel();
        BusError::Poisoned(text)
    }
}

/// A value of the database as shared bytes, without a copy.
pub(crate) fn bytes_of(value: fjall::Slice) -> Bytes {
    Bytes::from_owner(value)
}

/// How a topic stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicUsage {
    /// The topic.
    pub topic: String,
    /// Records kept.
    pub records: u64,
    /// Records ever written.
    pub written: u64,
    /// Bytes kept, by the records' sizes; on the disk they take less, being compressed.
    pub bytes: u64,
}

/// An open store. Dropping it and every bus made from it closes the database.
pub struct Store {
    bus: Arc<FjallBus>,
}

impl Store {
    /// Opens the store in a directory, which is made if it does not exist. Blocks while the journal is read.
    ///
    /// # Errors
    /// When another process has it, the format is another one, what lies there is damaged, or the disk refuses.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let shared = Arc::new(open(dir, options).map_err(|error| match error {
            Opening::Store(error) => error,
            Opening::Fjall(error) => StoreError::open(dir, error),
        })?);
        let queue = writer::start(&shared).map_err(|error| StoreError::open(dir, error.into()))?;
        Ok(Self { bus: Arc::new(FjallBus::new(shared, queue)) })
    }

    /// The bus on this store.
    #[must_use]
    pub fn bus(&self) -> Arc<FjallBus> {
        Arc::clone(&self.bus)
    }

    /// Lets the bus count what it does. Only the first meter counts.
    pub fn measure(&self, meter: Meter) {
        // A second meter would count everything twice.
        let _ = self.shared().meter.set(meter);
    }

    /// Bytes on the disk, journals and all keyspaces together.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn disk_bytes(&self) -> Result<u64, BusError> {
        self.shared().db.disk_space().map_err(crate::error::engine)
    }

    /// How each topic stands, by name.
    #[must_use]
    pub fn usage(&self) -> Vec<TopicUsage> {
        let usage = |topic: &Arc<Topic>| {
            let mut usage = TopicUsage { topic: topic.spec.name.clone(), records: 0, written: 0, bytes: 0 };
            let _whole = self.shared().seen();
            for partition in &topic.partitions {
                let ends = partition.ends();
                usage.records += (ends.high - ends.low).unsigned_abs();
                usage.written += ends.high.unsigned_abs();
                usage.bytes += partition.bytes();
            }
            usage
        };
        self.shared().topics.all().iter().map(usage).collect()
    }

    /// The database and its health, for the shapes that live beside the bus on keyspaces of their own.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.bus.shared()
    }
}

/// Either kind of failure while opening.
enum Opening {
    Store(StoreError),
    Fjall(fjall::Error),
}

impl From<fjall::Error> for Opening {
    fn from(error: fjall::Error) -> Self {
        Self::Fjall(error)
    }
}

fn database(dir: &Path, options: &Options) -> fjall::Result<Database> {
    Database::builder(dir)
        .cache_size(options.cache_mib.max(1) * MIB)
        .max_journaling_size(options.journal_mib.max(64) * MIB)
        .worker_threads(2)
        .open()
}

fn open(dir: &Path, options: Options) -> Result<Shared, Opening> {
    let db = match database(dir, &options) {
        Err(fjall::Error::JournalRecovery(_)) => {
            journal::cut_torn_end(dir).map_err(Opening::Store)?;
            database(dir, &options)?
        }
        opened => opened?,
    };
    // Chunks are read whole: larger blocks mean fewer of them, and better compression.
    let log = db.keyspace("log", || {
        let blocks = BlockSizePolicy::all(16 << 10);
        KeyspaceCreateOptions::default()
            .max_memtable_size(options.log_buffer_mib.max(1) * MIB)
            .data_block_size_policy(blocks)
    })?;
    let state = db.keyspace("state", || {
        KeyspaceCreateOptions::default().max_memtable_size(options.state_buffer_mib.max(1) * MIB)
    })?;
    let meta = db.keyspace("meta", || KeyspaceCreateOptions::default().max_memtable_size(4 * MIB))?;
    check_format(dir, &db, &meta)?;
    let topics = recover(dir, &log, &meta)?;
    let committed = RwLock::new(recover_committed(dir, &meta)?);
    Ok(Shared {
        db,
        log,
        state,
        meta,
        topics,
        committed,
        options,
        meter: OnceLock::new(),
        started: Instant::now(),
        failure: OnceLock::new(),
        failed: CancellationToken::new(),
    })
}

/// Marks a new database, and refuses one of another format.
fn check_format(dir: &Path, db: &Database, meta: &Keyspace) -> Result<(), Opening> {
    match meta.get(keys::FORMAT_KEY)?.as_deref() {
        Some([keys::FORMAT]) => Ok(()),
        Some(other) => {
            let found = other.first().copied().unwrap_or_default();
            Err(Opening::Store(StoreError::Format { path: dir.to_owned(), found, wanted: keys::FORMAT }))
        }
        None => {
            meta.insert(keys::FORMAT_KEY, [keys::FORMAT])?;
            Ok(db.persist(PersistMode::SyncAll)?)
        }
    }
}

/// Reads all topics, and where each partition begins and ends.
fn recover(dir: &Path, log: &Keyspace, meta: &Keyspace) -> Result<Topics, Opening> {
    let damaged =
        |reason: &str| Opening::Store(StoreError::Damaged { path: dir.to_owned(), reason: reason.to_owned() });
    let topics = Topics::default();
    for entry in meta.prefix([keys::TOPIC]) {
        let (key, value) = entry.into_inner()?;
        let (id, spec) = decode_spec(&key[1..], &value).ok_or_else(|| damaged("a topic's entry"))?;
        let mut partitions = Vec::new();
        for partition in 0..spec.partitions.unsigned_abs() {
            let mark = match meta.get(keys::mark(id, partition))? {
                Some(value) => Mark::decode(&value).ok_or_else(|| damaged("a partition's mark"))?,
                None => Mark::default(),
            };
            let range = keys::chunk(id, partition, 0)..=keys::chunk(id, partition, i64::MAX);
            let last = match log.range(range).next_back() {
                Some(entry) => {
                    let (key, value) = entry.into_inner()?;
                    let last = keys::chunk_last(&key).ok_or_else(|| damaged("a chunk's key"))?;
                    Some(Chunk::open(last, &bytes_of(value)).map_err(|error| damaged(&error.to_string()))?)
                }
                None => None,
            };
            partitions.push(Partition::recovered(mark, last.as_ref()));
        }
        topics.add(Topic::new(id, spec, partitions));
    }
    Ok(topics)
}

/// Reads the offsets of all groups.
fn recover_committed(dir: &Path, meta: &Keyspace) -> Result<HashMap<Vec<u8>, i64>, Opening> {
    let mut committed = HashMap::new();
    for entry in meta.prefix([keys::OFFSET]) {
        let (key, value) = entry.into_inner()?;
        let damaged = || StoreError::Damaged { path: dir.to_owned(), reason: "a group's offset".to_owned() };
        let offset = value[..].try_into().map_err(|_| Opening::Store(damaged()))?;
        committed.insert(key.to_vec(), i64::from_be_bytes(offset));
    }
    Ok(committed)
}

/// What the bus holds of the writer: its queue, and its thread to be waited for.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    queue: Option<Queue>,
}

impl Engine {
    pub(crate) const fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { shared, queue: Some(queue) }
    }

    /// Hands work to the writer.
    pub(crate) fn send(&self, work: Work) -> Result<(), BusError> {
        self.shared.healthy()?;
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(work));
        if sent { Ok(()) } else { Err(BusError::Closed) }
    }
}

impl Drop for Engine {
    /// Waits for the writer to finish what it took, so that the directory is free afterwards.
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.finish();
        }
    }
}
