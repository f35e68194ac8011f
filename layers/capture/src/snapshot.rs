//! The snapshot: all rows as of the moment at which the slot was created, so that the stream goes on exactly where it ends.
//!
//! Its rows carry the log position just before the slot's first change as their version: every change that is streamed is newer.
//! A snapshot that is not the first thing on the bus starts with a `t` (truncate) record in every partition of every table, so
//! that readers drop rows which were deleted in the meantime. One that was cut short is taken again from the start, with a new
//! slot; its rows have higher versions than those of the attempt before, so no reader sees a row twice.

use crate::batch::Batch;
use crate::envelope::{Images, Stamp, record};
use crate::pgoutput::Cell;
use crate::publication::{self, PrimaryKeys};
use crate::run::{Context, connect, now_us};
use crate::slot::{self, Reason, Server, UNLIMITED};
use crate::store::{self, Published, Stored, Unfinished};
use crate::table::Table;
use crate::{CaptureError, Position, copy, metrics};
use bus::{NewRecord, StateChange, Step};
use futures_util::{TryStreamExt, pin_mut};
use model::Op;
use pgwire_replication::ReplicationClient;
use tokio_postgres::Client;

/// Snapshots are counted over an hour.
const HOUR_MS: i64 = 3_600_000;

/// Reads the store as a whole onto the bus, and returns where the stream has to go on.
pub(crate) async fn take(
    context: &Context,
    control: &Client,
    server: &Server,
    published: &Published,
    reason: Reason,
) -> Result<Stored, CaptureError> {
    tracing::info!(target: "capture", reason = reason.text(), "taking a snapshot");
    // First, since PostgreSQL refuses it for as long as it takes the slot for busy; and a slot that waits holds back the log.
    if server.has_slot() {
        control.execute("select pg_drop_replication_slot($1)", &[&context.config.slot]).await?;
    }
    announce(context, reason).await?;
    let replication = slot::replication(&context.config, &context.pg, 0)?;
    let mut gated = ReplicationClient::connect_gated(replication).await?;
    gated.simple_query(UNLIMITED).await?;
    let statement = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput (SNAPSHOT 'export')", context.config.slot);
    let rows = gated.simple_query(&statement).await?;
    let field = |place: usize| {
        let bytes = rows.first().and_then(|row| row.get(place)).and_then(Option::as_ref);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.ok_or_else(|| CaptureError::Protocol("CREATE_REPLICATION_SLOT returned something else".to_owned()))
    };
    let (start, snapshot) = (slot::lsn(field(1)?)?, field(2)?);
    let (reader, _driver) = connect(&context.pg).await?;
    // The name comes from the server: hexadecimal digits and hyphens.
    let import = format!(
        "begin isolation level repeatable read read only; set transaction snapshot '{}'",
        snapshot.replace('\'', "''")
    );
    reader.batch_execute(&import).await?;
    // Held until here: with its session the exported snapshot would be gone.
    drop(gated);
    let stored = Stored {
        system: server.system.clone(),
        database: server.database.clone(),
        position: Position { lsn: start, partial: None },
    };
    let mut writer = Writer { context, seq: 0, lsn: start.saturating_sub(1), batch: Batch::default(), rows: 0 };
    let keys = publication::primary_keys(&reader, &context.config.schema).await?;
    for name in &context.config.tables {
        writer.table(&reader, &server.database, name, &keys, reason != Reason::First).await?;
    }
    reader.batch_execute("commit").await?;
    writer.finish(&stored, published).await?;
    tracing::info!(target: "capture", rows = writer.rows, "the snapshot is complete");
    Ok(stored)
}

/// Says on the bus that a snapshot begins, and why. Refuses it when there were too many: each writes the whole store to the bus
/// once more.
async fn announce(context: &Context, reason: Reason) -> Result<(), CaptureError> {
    let mut step = Step::default();
    let unfinished = Unfinished { reason: reason.text().to_owned() };
    step.state.push(store::keep_unfinished(Some(&unfinished)));
    if reason != Reason::First {
        let at = store::stored(&*context.bus)?.map_or(0, |stored| stored.position.lsn);
        step.produce.push(store::progress(at, now_us(), Some(("resnapshot", reason.text()))));
        let now_ms = now_us() / 1000;
        let mut lately = store::resnapshots(&*context.bus)?;
        lately.retain(|at| now_ms - at < HOUR_MS);
        if lately.len() >= context.config.resnapshots_per_hour {
            return Err(CaptureError::TooManySnapshots(lately.len()));
        }
        lately.push(now_ms);
        step.state.push(store::keep_resnapshots(&lately));
    }
    if reason.is_gap() {
        let text = format!("changes may be missing on the bus: {}; taking a new snapshot", reason.text());
        tracing::error!(target: "capture", "{text}");
        context.meter.failed(metrics::GAP, &text);
    }
    context.bus.step(step).await?;
    Ok(())
}

struct Writer<'a> {
    context: &'a Context,
    seq: u64,
    lsn: u64,
    batch: Batch,
    rows: u64,
}

impl Writer<'_> {
    async fn table(
        &mut self,
        reader: &Client,
        database: &str,
        name: &str,
        keys: &PrimaryKeys,
        again: bool,
    ) -> Result<(), CaptureError> {
        let config = &self.context.config;
        let table = publication::table(reader, config, database, name, keys).await?;
        if again {
            self.truncate(&table);
        }
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("\"{}\"", column.name.replace('"', "\"\""))).collect();
        let query = format!("copy (select {} from {}.\"{name}\") to stdout", columns.join(", "), config.schema);
        let pieces = reader.copy_out(&query).await?;
        pin_mut!(pieces);
        let mut rows = copy::Rows::default();
        while let Some(piece) = pieces.try_next().await? {
            rows.push(&piece);
            while let Some(row) = rows.next_row() {
                self.row(&table, &row)?;
            }
            if self.batch.is_full(config.batch_records, config.batch_bytes) {
                self.flush(Vec::new(), None).await?;
            }
        }
        if rows.is_torn() {
            return Err(CaptureError::Protocol(format!("the copy of {name} ends inside a row")));
        }
        Ok(())
    }

    fn stamp(&mut self) -> Stamp {
        let seq = self.seq;
        self.seq += 1;
        let now_us = now_us();
        Stamp { lsn: self.lsn, seq, tx: 0, committed_us: now_us, snapshot: true, now_us }
    }

    fn row(&mut self, table: &Table, row: &[u8]) -> Result<(), CaptureError> {
        let values = copy::values(row);
        if values.len() != table.columns.len() {
            return Err(CaptureError::Protocol(format!("a row of {} has {} values", table.name, values.len())));
        }
        let cells: Vec<Cell<'_>> = values.iter().map(|value| value.as_deref().map_or(Cell::Null, Cell::Text)).collect();
        let images = Images { before: None, after: Some(&cells) };
        let stamp = self.stamp();
        let (record, oversize) = record(table, Op::Read, images, &stamp, row.len() * 2 + 256);
        self.context.note_oversize(table, oversize);
        self.batch.push(record);
        self.rows += 1;
        Ok(())
    }

    fn truncate(&mut self, table: &Table) {
        let stamp = self.stamp();
        for record in everywhere(self.context, table, &stamp) {
            self.batch.push(record);
        }
    }

    async fn flush(&mut self, state: Vec<StateChange>, last: Option<NewRecord>) -> Result<(), CaptureError> {
        let mut produce = std::mem::take(&mut self.batch).records;
        let count = produce.len() as u64;
        produce.extend(last);
        self.context.bus.step(Step { state, produce, ..Step::default() }).await?;
        self.context.meter.handled(metrics::SNAPSHOT_ROW, count);
        Ok(())
    }

    async fn finish(&mut self, stored: &Stored, published: &Published) -> Result<(), CaptureError> {
        let state = vec![store::keep_position(stored), store::keep_unfinished(None), store::keep_published(published)];
        let progress = store::progress(stored.position.lsn, now_us(), Some(("snapshot", "complete")));
        self.flush(state, Some(progress)).await
    }
}

/// A truncate record for every partition of a table's topic: each must know where its rows end.
pub(crate) fn everywhere(context: &Context, table: &Table, stamp: &Stamp) -> Vec<NewRecord> {
    let (template, _) = record(table, Op::Truncate, Images { before: None, after: None }, stamp, 256);
    let partitions = context.partitions.get(&table.topic).copied().unwrap_or(1);
    (0..partitions).map(|partition| NewRecord { partition: Some(partition), ..template.clone() }).collect()
}
