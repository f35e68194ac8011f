//! The loop of capture: connect, take a snapshot where one is needed, stream; and again after every failure that may pass.

use crate::slot::{self, FORMATS};
use crate::store::{self, Stored};
use crate::stream::Stream;
use crate::table::Table;
use crate::{CaptureError, Config, lint, metrics, publication, snapshot};
use bus::{Bus, Step, TopicSpec};
use runtime::Meter;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// Pause after a failure: from, to.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A session that lived this long was well: the next pause is short again.
const WELL: Duration = Duration::from_secs(10);

/// Partitions of a topic that nobody has created before.
const PARTITIONS: i32 = 4;

/// What everything in here works with.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) pg: tokio_postgres::Config,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) meter: Meter,
    /// Partitions by topic.
    pub(crate) partitions: HashMap<String, i32>,
}

impl Context {
    /// Says that a row was too large for the bus.
    pub(crate) fn note_oversize(&self, table: &Table, oversize: bool) {
        if oversize {
            let text = format!("a row of {} is too large for the bus; its large values were left out", table.name);
            tracing::warn!(target: "storewide::capture", "{text}");
            self.meter.failed(metrics::OVERSIZE, &text);
        }
    }
}

/// Captures changes until told to stop. Failures that may pass, such as a restart of PostgreSQL, are waited out.
///
/// # Errors
/// When a person has to do something: a bad configuration, a lacking right, a table whose writes the publication would break
/// (found at the start), or another store than the one on the bus.
pub async fn run(
    config: Config,
    pg: tokio_postgres::Config,
    bus: Arc<dyn Bus>,
    meter: Meter,
    stop: CancellationToken,
) -> Result<(), CaptureError> {
    config.check()?;
    let mut pg = pg;
    pg.options(FORMATS).application_name("storewide capture");
    let mut context = Context { config, pg, bus, meter, partitions: HashMap::new() };
    let (mut pause, mut started) = (BACK_OFF.0, false);
    while !stop.is_cancelled() {
        let begin = Instant::now();
        match session(&mut context, &mut started, &stop).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::warn!(target: "storewide::capture", %error, "capture was interrupted; it goes on by itself");
                context.meter.failed(metrics::SESSION, &error.to_string());
            }
        }
        if begin.elapsed() >= WELL {
            pause = BACK_OFF.0;
        }
        tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
        pause = (pause * 2).min(BACK_OFF.1);
    }
    Ok(())
}

/// One connection's life. Returns when told to stop.
async fn session(context: &mut Context, started: &mut bool, stop: &CancellationToken) -> Result<(), CaptureError> {
    let prepared = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        prepared = prepare(context, started) => prepared?,
    };
    let (control, _driver, stored) = prepared;
    let mut stream = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        stream = Stream::open(context, &control, stored) => stream?,
    };
    let result = stream.run(stop).await;
    tracing::debug!(target: "storewide::capture", lsn = stream.position().lsn, "the stream ended");
    result
}

/// Everything up to the point where the stream can go on.
async fn prepare(context: &mut Context, started: &mut bool) -> Result<(Client, Driver, Stored), CaptureError> {
    context.partitions = topics(&context.config, &*context.bus).await?;
    let (control, driver) = connect(&context.pg).await?;
    let config = &context.config;
    publication::check_role(&control).await?;
    publication::ensure(&control, config).await?;
    publication::check_tables(&control, &config.publication).await?;
    let findings = lint::check(&control, &config.publication).await?;
    if !findings.is_empty() {
        if !*started {
            return Err(CaptureError::Lint(findings));
        }
        // It broke while we ran: capture goes on, since stopping it would not mend the table.
        let text = lint::report(&findings);
        tracing::error!(target: "storewide::capture", "{text}");
        context.meter.failed(metrics::LINT, &text);
    }
    *started = true;
    let added = tables_added(context, &control).await?;
    let server = slot::inspect(&control, &config.slot).await?;
    let (stored, unfinished) = (store::stored(&*context.bus)?, store::unfinished(&*context.bus)?);
    let stored = match (server.judge(stored.as_ref(), unfinished.as_ref(), added)?, stored) {
        (None, Some(stored)) => stored,
        (reason, _) => snapshot::take(context, &control, &server, reason.unwrap_or(slot::Reason::First)).await?,
    };
    Ok((control, driver, stored))
}

/// Whether tables with rows were added to the configuration since the snapshot; empty ones are noted as being on the bus.
async fn tables_added(context: &Context, control: &Client) -> Result<bool, CaptureError> {
    if store::stored(&*context.bus)?.is_none() {
        return Ok(false);
    }
    let known = store::tables(&*context.bus)?;
    let new: Vec<&String> = context.config.tables.iter().filter(|table| !known.contains(table)).collect();
    if new.is_empty() {
        return Ok(false);
    }
    if publication::any_rows(control, &context.config.schema, &new).await? {
        return Ok(true);
    }
    let state = vec![store::keep_tables(&context.config.tables)];
    context.bus.step(Step { state, ..Step::default() }).await?;
    Ok(false)
}

/// Creates the topics that are missing, and returns the partitions of all.
async fn topics(config: &Config, bus: &dyn Bus) -> Result<HashMap<String, i32>, CaptureError> {
    let mut known: HashMap<String, i32> =
        bus.topics().await?.into_iter().map(|spec| (spec.name, spec.partitions)).collect();
    let crm = config.tables.iter().map(|table| (model::topic::crm(table), PARTITIONS));
    for (name, partitions) in crm.chain([(model::topic::CAPTURE_PROGRESS.to_owned(), 1)]) {
        if let Entry::Vacant(entry) = known.entry(name) {
            bus.create_topic(&TopicSpec::new(entry.key(), partitions)).await?;
            entry.insert(partitions);
        }
    }
    Ok(known)
}

/// Ends a connection's task when it is dropped.
pub(crate) struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens an ordinary connection.
pub(crate) async fn connect(pg: &tokio_postgres::Config) -> Result<(Client, Driver), CaptureError> {
    let limit = Duration::from_secs(10);
    let connected = tokio::time::timeout(limit, pg.connect(NoTls)).await;
    let (client, connection) = connected.map_err(|_| CaptureError::Postgres("no answer within 10 s".to_owned()))??;
    Ok((client, Driver(tokio::spawn(connection).abort_handle())))
}

/// Microseconds since 1970 UTC, by the machine's clock.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
