//! The writer: the one thread that appends. What many callers ask for while the disk syncs goes into the next batch together:
//! one batch, one sync, many acknowledgements.
//!
//! Being alone, it gives out offsets without locks, and a change of group membership cannot slip between the check of a
//! generation and the commit that relied on it.

use crate::chunk::{Chunk, Draft};
use crate::store::{Shared, bytes_of};
use crate::topics::{End, Mark, Partition, Topic, encode_spec};
use crate::{keys, metrics};
use ::bus::coordinator::{Coordinator, Membership};
use ::bus::{BusError, TopicSpec};
use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode, Slice};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Calls and bytes of one commit at most: bounds the time to an acknowledgement.
const COMMIT_CALLS: usize = 4096;
const COMMIT_BYTES: usize = 8 << 20;

/// Where the answer to a call goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, BusError>>;

/// Something for the writer to do.
pub(crate) enum Work {
    /// Appends records, moves offsets, changes state.
    Write(Write),
    /// Creates a topic.
    Create(TopicSpec, Reply<()>),
    /// Moves a partition's low watermark.
    Trim(Trim),
    /// Joins a group, or tells it that a member lives.
    Enter(Enter),
    /// Leaves a group.
    Leave(String, u64),
}

/// A produce, a step, or a group's commit.
pub(crate) struct Write {
    pub(crate) drafts: Vec<(Arc<Topic>, u32, Draft)>,
    /// Keys and values of the meta keyspace.
    pub(crate) offsets: Vec<(Vec<u8>, i64)>,
    /// Keys and values of the state keyspace.
    pub(crate) state: Vec<(Vec<u8>, Option<Bytes>)>,
    /// The group and generation that must hold.
    pub(crate) fence: Option<(String, u64)>,
    /// The first offset of each draft.
    pub(crate) reply: Reply<Vec<i64>>,
}

impl Write {
    /// Bytes that it adds to a commit.
    pub(crate) fn bytes(&self) -> usize {
        let drafts: usize = self.drafts.iter().map(|(_, _, draft)| draft.bytes.len()).sum();
        let state = |(key, value): &(Vec<u8>, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        drafts + self.state.iter().map(state).sum::<usize>() + 64 * self.offsets.len()
    }
}

/// A new low watermark, at most the high one.
pub(crate) struct Trim {
    pub(crate) topic: Arc<Topic>,
    pub(crate) partition: u32,
    pub(crate) before: i64,
    /// Bytes of the partition before that offset.
    pub(crate) bytes_low: u64,
    pub(crate) reply: Reply<()>,
}

/// A join (no member yet) or a heartbeat.
pub(crate) struct Enter {
    pub(crate) group: String,
    pub(crate) member: Option<u64>,
    pub(crate) topics: Vec<(String, i32)>,
    pub(crate) reply: Reply<Membership>,
}

/// The way to the writer.
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Work>,
    thread: JoinHandle<()>,
}

impl Queue {
    /// False when the writer is gone.
    pub(crate) fn send(&self, work: Work) -> bool {
        self.sender.send(work).is_ok()
    }

    /// Lets the writer finish what it has, and waits for it.
    pub(crate) fn finish(self) {
        drop(self.sender);
        if self.thread.join().is_err() {
            tracing::error!(target: "bus", "the writer panicked");
        }
    }
}

/// Starts the writer.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Queue> {
    let (sender, queue) = mpsc::unbounded_channel();
    let writer = Writer {
        groups: Coordinator::new(shared.options.session_timeout()),
        shared: Arc::clone(shared),
        cached: VecDeque::new(),
        cached_bytes: 0,
    };
    let guard = PanicGuard(Arc::clone(shared));
    let thread = std::thread::Builder::new().name("bus-writer".to_owned()).spawn(move || {
        let _guard = guard;
        writer.run(queue);
    })?;
    Ok(Queue { sender, thread })
}

/// Poisons the store should the writer ever panic: nobody may wait for ever.
struct PanicGuard(Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.poison(&"the writer panicked"));
        }
    }
}

/// A partition within a commit.
struct Growing {
    topic: Arc<Topic>,
    partition: u32,
    end: End,
    open: Draft,
    sealed: Vec<Chunk>,
}

/// One commit in the making.
struct Commit {
    batch: OwnedWriteBatch,
    bytes: usize,
    records: u64,
    growing: HashMap<(u32, u32), Growing>,
    // A batch must not hold a key twice: both entries would bear the same number. So the last one wins here.
    meta: HashMap<Vec<u8>, Slice>,
    state: HashMap<Vec<u8>, Option<Bytes>>,
    committed: HashMap<Vec<u8>, i64>,
    writes: Vec<(Reply<Vec<i64>>, Vec<i64>)>,
    trims: Vec<Trim>,
    enters: Vec<(Enter, Membership)>,
}

struct Writer {
    shared: Arc<Shared>,
    groups: Coordinator,
    /// Chunks in tails, oldest first, and their bytes.
    cached: VecDeque<(Arc<Topic>, u32, usize)>,
    cached_bytes: usize,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Work>) {
        while let Some(work) = queue.blocking_recv() {
            let mut commit = Commit::new(&self.shared);
            self.take(work, &mut commit);
            let mut calls = 1;
            while calls < COMMIT_CALLS
                && commit.bytes < COMMIT_BYTES
                && let Ok(work) = queue.try_recv()
            {
                self.take(work, &mut commit);
                calls += 1;
            }
            self.finish(commit);
        }
    }

    /// Takes work into a commit. What is refused is answered at once.
    fn take(&mut self, work: Work, commit: &mut Commit) {
        match work {
            Work::Write(write) => {
                let fence = write.fence.as_ref().map_or(Ok(()), |(group, held)| self.groups.check(group, *held));
                match fence {
                    Ok(()) => commit.write(&self.shared, write),
                    // Whoever asked may be gone; then nobody needs the answer.
                    Err(stale) => drop(write.reply.send(Err(stale))),
                }
            }
            Work::Create(spec, reply) => drop(reply.send(self.create(spec))),
            Work::Trim(trim) => commit.trim(trim),
            Work::Enter(enter) => {
                let now = self.shared.started.elapsed();
                let place = match enter.member {
                    Some(member) => self.groups.heartbeat(&enter.group, member, &enter.topics, now),
                    None => self.groups.join(&enter.group, enter.topics.clone(), now),
                };
                commit.enters.push((enter, place));
            }
            Work::Leave(group, member) => self.groups.leave(&group, member),
        }
    }

    /// Creates a topic in a commit of its own: it happens once.
    fn create(&self, spec: TopicSpec) -> Result<(), BusError> {
        self.shared.healthy()?;
        if let Some(topic) = self.shared.topics.get(&spec.name) {
            let (actual, wanted) = (topic.spec.partitions, spec.partitions);
            if actual != wanted {
                return Err(BusError::PartitionCount { topic: spec.name, actual, wanted });
            }
            return Ok(());
        }
        let id = self.shared.topics.all().iter().map(|topic| topic.id + 1).max().unwrap_or(0);
        let mut batch = self.shared.db.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.shared.meta, keys::topic(&spec.name), encode_spec(id, &spec));
        batch.commit().map_err(|error| self.shared.poison(&error))?;
        let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
        self.shared.topics.add(Topic::new(id, spec, partitions));
        Ok(())
    }

    /// Makes a commit durable, shows it to readers, and answers.
    fn finish(&mut self, mut commit: Commit) {
        let begun = Instant::now();
        commit.fill(&self.shared);
        let Commit { batch, growing, committed, writes, trims, enters, records, .. } = commit;
        let written = !batch.is_empty();
        let done = self.shared.healthy().and_then(|()| batch.commit().map_err(|error| self.shared.poison(&error)));
        if done.is_err() {
            let failed = || self.shared.healthy().err().unwrap_or(BusError::Closed);
            writes.into_iter().for_each(|(reply, _)| drop(reply.send(Err(failed()))));
            trims.into_iter().for_each(|trim| drop(trim.reply.send(Err(failed()))));
            enters.into_iter().for_each(|(enter, _)| drop(enter.reply.send(Err(failed()))));
            return;
        }
        self.show(growing, committed);
        for (reply, offsets) in writes {
            drop(reply.send(Ok(offsets)));
        }
        for trim in trims {
            trim.topic.partitions[trim.partition as usize].trimmed(trim.before, trim.bytes_low);
            drop(trim.reply.send(Ok(())));
        }
        for (Enter { group, member, reply, .. }, place) in enters {
            let joined = place.member;
            // Whoever did not wait to join never lives in its place. A member that did not wait for a beat lives on.
            if reply.send(Ok(place)).is_err() && member.is_none() {
                self.groups.leave(&group, joined);
            }
        }
        if let Some(meter) = self.shared.meter.get().filter(|_| written) {
            meter.handled(metrics::APPENDED, records);
            meter.took(metrics::COMMIT, begun.elapsed());
        }
    }

    /// Shows a commit whole, wakes its readers, and keeps the newest chunks at hand.
    fn show(&mut self, growing: HashMap<(u32, u32), Growing>, committed: HashMap<Vec<u8>, i64>) {
        let mut topics: Vec<Arc<Topic>> = Vec::new();
        let mut shown = self.shared.show();
        shown.extend(committed);
        for Growing { topic, partition, end, sealed, .. } in growing.into_values() {
            for chunk in &sealed {
                self.cached.push_back((Arc::clone(&topic), partition, chunk.records.len()));
                self.cached_bytes += chunk.records.len();
            }
            topic.partitions[partition as usize].publish(end, sealed);
            if !topics.iter().any(|other| other.id == topic.id) {
                topics.push(topic);
            }
        }
        drop(shown);
        for topic in topics {
            topic.grown.notify_waiters();
        }
        let room = usize::try_from(self.shared.options.tail_mib << 20).unwrap_or(usize::MAX);
        while self.cached_bytes > room
            && let Some((topic, partition, bytes)) = self.cached.pop_front()
        {
            // Chunks of a partition leave its tail in the order in which they came.
            topic.partitions[partition as usize].tail().pop_front();
            self.cached_bytes -= bytes;
        }
    }
}

impl Commit {
    fn new(shared: &Shared) -> Self {
        Self {
            batch: shared.db.batch().durability(Some(PersistMode::SyncData)),
            bytes: 0,
            records: 0,
            growing: HashMap::new(),
            meta: HashMap::new(),
            state: HashMap::new(),
            committed: HashMap::new(),
            writes: Vec::new(),
            trims: Vec::new(),
            enters: Vec::new(),
        }
    }

    fn write(&mut self, shared: &Shared, write: Write) {
        self.bytes += write.bytes();
        let mut offsets = Vec::with_capacity(write.drafts.len());
        for (topic, partition, draft) in write.drafts {
            let growing = self.growing.entry((topic.id, partition)).or_insert_with(|| Growing {
                end: topic.partitions[partition as usize].end(),
                topic,
                partition,
                open: Draft::default(),
                sealed: Vec::new(),
            });
            self.records += u64::from(draft.count);
            offsets.push(growing.add(draft, &mut self.batch, shared));
        }
        self.committed.extend(write.offsets);
        self.state.extend(write.state);
        self.writes.push((write.reply, offsets));
    }

    fn trim(&mut self, trim: Trim) {
        let log = &trim.topic.partitions[trim.partition as usize];
        let earlier =
            self.trims.iter().filter(|other| other.topic.id == trim.topic.id && other.partition == trim.partition);
        // Another trim may have gone further since this one was checked: a mark never moves back.
        let low = earlier.map(|other| other.before).fold(log.ends().low, i64::max);
        if low < trim.before {
            let mark = Mark { low: trim.before, bytes_low: trim.bytes_low, end: log.end() };
            self.meta.insert(keys::mark(trim.topic.id, trim.partition), Slice::from(mark.encode()));
        }
        self.trims.push(trim);
    }

    /// Puts everything into the batch.
    fn fill(&mut self, shared: &Shared) {
        for growing in self.growing.values_mut() {
            growing.seal(&mut self.batch, shared);
        }
        for (key, offset) in &self.committed {
            self.batch.insert(&shared.meta, key.as_slice(), offset.to_be_bytes());
        }
        for (key, value) in self.meta.drain() {
            self.batch.insert(&shared.meta, key, value);
        }
        for (key, value) in self.state.drain() {
            match value {
                Some(value) => self.batch.insert(&shared.state, key, &value[..]),
                None => self.batch.remove(&shared.state, key),
            }
        }
    }
}

impl Growing {
    /// Adds records and returns the first one's offset.
    fn add(&mut self, draft: Draft, batch: &mut OwnedWriteBatch, shared: &Shared) -> i64 {
        if !self.open.takes(&draft) {
            self.seal(batch, shared);
        }
        let first = self.end.high;
        self.end.high += i64::from(draft.count);
        self.end.reached_ms = self.end.reached_ms.max(draft.newest_ms);
        self.end.bytes += draft.bytes.len() as u64;
        self.open.append(draft);
        first
    }

    /// Makes a chunk of what has come together.
    fn seal(&mut self, batch: &mut OwnedWriteBatch, shared: &Shared) {
        if self.open.count == 0 {
            return;
        }
        let End { high, reached_ms, bytes } = self.end;
        let draft = std::mem::take(&mut self.open);
        let mut chunk = Chunk {
            first: high - i64::from(draft.count),
            last: high - 1,
            newest_ms: draft.newest_ms,
            reached_ms,
            bytes_end: bytes,
            records: Bytes::new(),
        };
        let length = draft.bytes.len();
        let value = Slice::from(draft.seal(reached_ms, bytes));
        // The tail and the database share one copy.
        chunk.records = bytes_of(value.clone()).slice(..length);
        batch.insert(&shared.log, keys::chunk(self.topic.id, self.partition, chunk.last), value);
        self.sealed.push(chunk);
    }
}
