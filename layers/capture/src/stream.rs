//! The stream: changes from the slot to the bus, as fast as they come, acknowledged when they are durable.

use crate::batch::Batch;
use crate::cursor::{Cursor, OutOfOrder};
use crate::envelope::{Images, Stamp, record};
use crate::pgoutput::{self, Cell, Message, Old};
use crate::publication::{self, PrimaryKeys};
use crate::run::{Context, now_us};
use crate::store::{self, Stored};
use crate::table::Table;
use crate::{CaptureError, Position, metrics, slot, snapshot};
use bus::{NewRecord, Step};
use futures_util::FutureExt;
use model::Op;
use pgwire_replication::{Lsn, ReplicationClient, ReplicationEvent};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// When nothing but the end of the log moves, the bus hears of it at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(20);

/// How long a stop waits for PostgreSQL to be told what is durable. What it is not told is skipped after the restart.
const LAST_FEEDBACK: Duration = Duration::from_secs(2);

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

/// A transaction under way.
#[derive(Clone, Copy, Debug, Default)]
struct Transaction {
    xid: u32,
    committed_us: i64,
    now_us: i64,
}

pub(crate) struct Stream<'a> {
    context: &'a Context,
    control: &'a Client,
    client: ReplicationClient,
    cursor: Cursor,
    /// What the bus holds.
    stored: Stored,
    keys: PrimaryKeys,
    /// None: not one of ours.
    tables: HashMap<u32, Option<Table>>,
    transaction: Transaction,
    batch: Batch,
    progress_due: Option<Instant>,
    /// When the bus last heard that only the end of the log moved.
    last_quiet: Instant,
    heartbeat_due: Instant,
    ignored: u64,
    repeats: u64,
}

impl<'a> Stream<'a> {
    /// Connects to the slot at a position.
    pub(crate) async fn open(context: &'a Context, control: &'a Client, stored: Stored) -> Result<Self, CaptureError> {
        let keys = publication::primary_keys(control, &context.config.schema).await?;
        let settings = slot::replication(&context.config, &context.pg, stored.position.lsn)?;
        let mut client = ReplicationClient::connect(settings).await?;
        client.wait_started().await?;
        context.meter.position(model::Position::Wal(stored.position.lsn).to_string());
        let now = Instant::now();
        Ok(Self {
            context,
            control,
            client,
            cursor: Cursor::new(stored.position.clone()),
            stored,
            keys,
            tables: HashMap::new(),
            transaction: Transaction::default(),
            batch: Batch::default(),
            progress_due: None,
            last_quiet: now - PROGRESS_PAUSE,
            heartbeat_due: now + Duration::from_secs(context.config.heartbeat_s),
            ignored: 0,
            repeats: 0,
        })
    }

    /// Moves changes until told to stop.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) -> Result<(), CaptureError> {
        loop {
            let due = self.progress_due.map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = self.client.recv() => self.take(event).await?,
                () = tokio::time::sleep_until(due) => {}
            }
            let (records, bytes) = (self.context.config.batch_records, self.context.config.batch_bytes);
            // Whatever has arrived goes into the batch, and nothing is waited for: a lone change leaves at once, and under load
            // batches grow by themselves. Unconstrained, since tokio's budget would cut them short.
            while !self.batch.is_full(records, bytes) {
                match tokio::task::unconstrained(self.client.recv()).now_or_never() {
                    Some(event) => self.take(event).await?,
                    None => break,
                }
            }
            self.flush().await?;
            if Instant::now() >= self.heartbeat_due {
                self.heartbeat().await?;
            }
        }
        self.close().await
    }

    async fn take(
        &mut self,
        event: Result<Option<ReplicationEvent>, pgwire_replication::PgWireError>,
    ) -> Result<(), CaptureError> {
        match event? {
            Some(ReplicationEvent::XLogData { data, .. }) => self.message(&data).await?,
            Some(ReplicationEvent::Begin { final_lsn, xid, commit_time_micros }) => {
                self.cursor.begin(final_lsn.as_u64())?;
                let committed_us = commit_time_micros.saturating_add(EPOCH_2000_US);
                self.transaction = Transaction { xid, committed_us, now_us: now_us() };
            }
            Some(ReplicationEvent::Commit { end_lsn, .. }) => self.cursor.commit(end_lsn.as_u64())?,
            Some(ReplicationEvent::KeepAlive { wal_end, .. }) => self.cursor.idle(wal_end.as_u64()),
            // Heartbeats, and messages of other programs.
            Some(ReplicationEvent::Message { .. }) => {}
            Some(ReplicationEvent::StoppedAt { .. }) | None => {
                return Err(CaptureError::Postgres("the replication connection was closed".to_owned()));
            }
        }
        Ok(())
    }

    async fn message(&mut self, data: &[u8]) -> Result<(), CaptureError> {
        match pgoutput::decode(data).map_err(|error| CaptureError::Protocol(error.to_string()))? {
            Message::Insert { relation, new } => {
                self.change(relation, Op::Create, Images { before: None, after: Some(&new) }, data.len())
            }
            Message::Update { relation, old, new } => {
                self.change(relation, Op::Update, Images { before: old.as_ref(), after: Some(&new) }, data.len())
            }
            Message::Delete { relation, old } => {
                self.change(relation, Op::Delete, Images { before: Some(&old), after: None }, data.len())
            }
            Message::Truncate { relations } => relations.into_iter().try_for_each(|relation| self.truncate(relation)),
            Message::Relation(relation) => self.relation(&relation).await,
            Message::Origin | Message::Type => Ok(()),
        }
    }

    async fn relation(&mut self, relation: &pgoutput::Relation<'_>) -> Result<(), CaptureError> {
        let config = &self.context.config;
        let ours = relation.schema == config.schema && config.tables.iter().any(|table| table == relation.name);
        if ours && !self.keys.contains_key(relation.name) {
            self.keys = publication::primary_keys(self.control, &config.schema).await?;
        }
        let table = ours.then(|| {
            let key = self.keys.get(relation.name).map_or(&[][..], Vec::as_slice);
            Table::of_relation(&self.stored.database, relation, key)
        });
        self.tables.insert(relation.id, table);
        Ok(())
    }

    /// The version of the next change of a table, where it is ours and not on the bus yet.
    fn next(&mut self, relation: u32) -> Result<Option<Stamp>, CaptureError> {
        let known = self.tables.get(&relation);
        let ours =
            known.ok_or_else(|| CaptureError::Protocol(format!("relation {relation} was not described")))?.is_some();
        let Some((lsn, seq)) = self.cursor.change()? else {
            self.repeats += 1;
            return Ok(None);
        };
        if !ours {
            self.ignored += 1;
            return Ok(None);
        }
        let Transaction { xid, committed_us, now_us } = self.transaction;
        self.batch.changes += 1;
        self.batch.oldest_us = Some(self.batch.oldest_us.map_or(committed_us, |oldest| oldest.min(committed_us)));
        Ok(Some(Stamp { lsn, seq, tx: xid, committed_us, snapshot: false, now_us }))
    }

    fn change(&mut self, relation: u32, op: Op, images: Images<'_>, size: usize) -> Result<(), CaptureError> {
        let Some(stamp) = self.next(relation)? else { return Ok(()) };
        let Some(Some(table)) = self.tables.get(&relation) else { return Ok(()) };
        let old = images.before.map_or(0, |old| cells(old).len());
        let columns = table.columns.len();
        if images.after.is_some_and(|after| after.len() != columns) || (old != 0 && old != columns) {
            return Err(CaptureError::Protocol(format!("a row of {} does not have its table's columns", table.name)));
        }
        let (record, oversize) = record(table, op, images, &stamp, size * 2 + 512);
        self.context.note_oversize(table, oversize);
        self.batch.push(record);
        Ok(())
    }

    fn truncate(&mut self, relation: u32) -> Result<(), CaptureError> {
        let Some(stamp) = self.next(relation)? else { return Ok(()) };
        let Some(Some(table)) = self.tables.get(&relation) else { return Ok(()) };
        for record in snapshot::everywhere(self.context, table, &stamp) {
            self.batch.push(record);
        }
        Ok(())
    }

    /// Writes the batch, or the news that the log went on without changes; then tells PostgreSQL what is durable.
    async fn flush(&mut self) -> Result<(), CaptureError> {
        let position = self.cursor.position();
        let quiet = self.batch.is_empty();
        if quiet {
            if position == self.stored.position {
                return Ok(());
            }
            let due = self.last_quiet + PROGRESS_PAUSE;
            if Instant::now() < due {
                self.progress_due = Some(due);
                return Ok(());
            }
        }
        let batch = std::mem::take(&mut self.batch);
        let mut produce: Vec<NewRecord> = batch.records;
        let forward = position.lsn > self.stored.position.lsn;
        if forward {
            produce.push(store::progress(position.lsn, now_us(), None));
        }
        self.stored.position = position;
        let state = vec![store::keep_position(&self.stored)];
        self.context.bus.step(Step { state, produce, ..Step::default() }).await?;
        self.client.update_applied_lsn(Lsn::from_u64(self.stored.position.lsn));
        self.progress_due = None;
        if quiet {
            self.last_quiet = Instant::now();
        }
        self.observe(batch.changes, batch.oldest_us);
        Ok(())
    }

    fn observe(&mut self, changes: u64, oldest_us: Option<i64>) {
        let meter = &self.context.meter;
        if changes > 0 {
            meter.handled(metrics::CHANGE, changes);
        }
        if let Some(late) = oldest_us.and_then(|oldest| u64::try_from(now_us() - oldest).ok()) {
            meter.took(metrics::COMMIT_TO_BUS, Duration::from_micros(late));
        }
        for (kind, count) in [(metrics::IGNORED, &mut self.ignored), (metrics::REPEAT, &mut self.repeats)] {
            if *count > 0 {
                meter.count(kind, std::mem::take(count));
            }
        }
        meter.position(model::Position::Wal(self.stored.position.lsn).to_string());
    }

    /// Moves the log on, so that the slot does not hold it back when only other tables change; notices a dead server, a slot that
    /// is about to be lost, and a publication that changed.
    async fn heartbeat(&mut self) -> Result<(), CaptureError> {
        self.heartbeat_due = Instant::now() + Duration::from_secs(self.context.config.heartbeat_s);
        let beaten = tokio::time::timeout(Duration::from_secs(10), self.beat()).await;
        beaten.map_err(|_| CaptureError::Postgres("no answer to a heartbeat within 10 s".to_owned()))?
    }

    async fn beat(&self) -> Result<(), CaptureError> {
        let Context { config, meter, bus, .. } = self.context;
        self.control.batch_execute("select pg_logical_emit_message(false, 'storewide.heartbeat', '')").await?;
        if let Some(text) = slot::risk(self.control, &config.slot).await? {
            tracing::error!(target: "capture", "{text}");
            meter.failed(metrics::SLOT_AT_RISK, &text);
        }
        let published = publication::inspect(self.control, config).await?.published;
        if publication::changed(&store::published(&**bus)?, &published) {
            // Connecting anew finds out what it means.
            return Err(CaptureError::Postgres("the publication was changed".to_owned()));
        }
        Ok(())
    }

    /// Waits, for a moment, until PostgreSQL was told all that is durable.
    async fn close(&mut self) -> Result<(), CaptureError> {
        self.flush().await?;
        let (told, wanted) = (self.client.metrics(), Lsn::from_u64(self.stored.position.lsn));
        let deadline = Instant::now() + LAST_FEEDBACK;
        while told.last_applied_lsn() < wanted && self.client.is_running() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = tokio::time::timeout(LAST_FEEDBACK, self.client.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!(target: "capture", "the replication connection did not end in order");
        }
        Ok(())
    }

    /// How far the bus is.
    pub(crate) const fn position(&self) -> &Position {
        &self.stored.position
    }
}

impl From<OutOfOrder> for CaptureError {
    fn from(OutOfOrder(text): OutOfOrder) -> Self {
        Self::Protocol(text.to_owned())
    }
}

fn cells<'a, 'b>(old: &'b Old<'a>) -> &'b [Cell<'a>] {
    match old {
        Old::Key(cells) | Old::Row(cells) => cells,
    }
}
