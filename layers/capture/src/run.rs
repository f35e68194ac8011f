//! The loop of capture: connect, take a snapshot where one is needed, stream; and again after every failure that may pass.

use crate::slot::{self, Reason, SETTINGS, UNLIMITED};
use crate::store::{self, Published, Stored};
use crate::stream::Stream;
use crate::table::Table;
use crate::{CaptureError, Config, Finding, lint, metrics, publication, snapshot};
use bus::{Bus, Step, TopicPartition, TopicSpec};
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

/// `capture.progress` is read at its end; a day of it is plenty to look back on.
const PROGRESS_KEPT: Duration = Duration::from_secs(24 * 3_600);

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
            tracing::warn!(target: "capture", "{text}");
            self.meter.failed(metrics::OVERSIZE, &text);
        }
    }
}

/// Captures changes until told to stop. Failures that may pass, such as a restart of PostgreSQL, are waited out.
///
/// # Errors
/// When a person has to do something: a bad configuration, a lacking right, a table whose writes the publication would break, or
/// another store than the one on the bus.
pub async fn run(
    config: Config,
    pg: tokio_postgres::Config,
    bus: Arc<dyn Bus>,
    meter: Meter,
    stop: CancellationToken,
) -> Result<(), CaptureError> {
    config.check()?;
    let mut pg = pg;
    pg.options(SETTINGS).application_name("storewide capture");
    // What the replication connection would refuse is refused before anything is done.
    slot::replication(&config, &pg, 0)?;
    let mut context = Context { config, pg, bus, meter, partitions: HashMap::new() };
    let (mut pause, mut started) = (BACK_OFF.0, false);
    while !stop.is_cancelled() {
        let begin = Instant::now();
        match session(&mut context, &mut started, &stop).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::warn!(target: "capture", %error, "capture was interrupted; it goes on by itself");
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
    tracing::debug!(target: "capture", lsn = stream.position().lsn, "the stream ended");
    result
}

/// Everything up to the point where the stream can go on.
async fn prepare(context: &mut Context, started: &mut bool) -> Result<(Client, Driver, Stored), CaptureError> {
    context.partitions = topics(&context.config, &*context.bus).await?;
    let (control, driver) = connect(&context.pg).await?;
    let config = &context.config;
    publication::check_role(&control).await?;
    publication::check_tables(&control, config).await?;
    let publication = publication::inspect(&control, config).await?;
    let lacking = publication.lacks(config);
    let findings = lint::check(&control, config).await?;
    heed(context, findings, *started && lacking.is_none())?;
    let published = match lacking {
        None => publication.published,
        Some(statements) => {
            control.batch_execute(&statements).await?;
            publication::inspect(&control, config).await?.published
        }
    };
    *started = true;
    let server = slot::inspect(&control, &config.slot).await?;
    let (stored, unfinished) = (store::stored(&*context.bus)?, store::unfinished(&*context.bus)?);
    let noted = store::published(&*context.bus)?;
    let mut known = noted.clone();
    known.retain(|table, _| config.tables.contains(table));
    let changed = publication::changed(&known, &published);
    let reason = match server.judge(stored.as_ref(), unfinished.as_ref(), changed)? {
        None if joined_with_rows(context, &control, &known).await? => Some(Reason::TablesAdded),
        reason => reason,
    };
    let stored = match (reason, stored) {
        (None, Some(stored)) => {
            // Also without a table that left the configuration: from here on its changes are not on the bus.
            if noted != published {
                let state = vec![store::keep_published(&published)];
                context.bus.step(Step { state, ..Step::default() }).await?;
            }
            stored
        }
        (reason, _) => snapshot::take(context, &control, &server, &published, reason.unwrap_or(Reason::First)).await?,
    };
    Ok((control, driver, stored))
}

/// Refuses to publish tables whose writes that would break. What broke while we ran is only told: capture goes on, since
/// stopping it would not mend the table.
fn heed(context: &Context, findings: Vec<Finding>, running: bool) -> Result<(), CaptureError> {
    if findings.is_empty() {
        return Ok(());
    }
    if !running {
        return Err(CaptureError::Lint(findings));
    }
    let text = lint::report(&findings);
    tracing::error!(target: "capture", "{text}");
    context.meter.failed(metrics::LINT, &text);
    Ok(())
}

/// Whether tables joined the configuration that have rows, or had some on the bus before they left it.
async fn joined_with_rows(context: &Context, control: &Client, known: &Published) -> Result<bool, CaptureError> {
    let new: Vec<&String> = context.config.tables.iter().filter(|table| !known.contains_key(*table)).collect();
    for table in &new {
        let topic = model::topic::crm(table);
        for partition in 0..context.partitions.get(&topic).copied().unwrap_or(0) {
            if context.bus.watermarks(&TopicPartition::new(topic.as_str(), partition)).await?.high > 0 {
                return Ok(true);
            }
        }
    }
    publication::any_rows(control, &context.config.schema, &new).await
}

/// Creates the topics that are missing, and returns the partitions of all.
async fn topics(config: &Config, bus: &dyn Bus) -> Result<HashMap<String, i32>, CaptureError> {
    let mut known: HashMap<String, i32> =
        bus.topics().await?.into_iter().map(|spec| (spec.name, spec.partitions)).collect();
    let crm = config.tables.iter().map(|table| TopicSpec::new(model::topic::crm(table), PARTITIONS));
    let retention = Some(PROGRESS_KEPT);
    let progress = TopicSpec { retention, ..TopicSpec::new(model::topic::CAPTURE_PROGRESS, 1) };
    for spec in crm.chain([progress]) {
        if let Entry::Vacant(entry) = known.entry(spec.name.clone()) {
            bus.create_topic(&spec).await?;
            entry.insert(spec.partitions);
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
    let driver = Driver(tokio::spawn(connection).abort_handle());
    client.batch_execute(UNLIMITED).await?;
    Ok((client, driver))
}

/// Microseconds since 1970 UTC, by the machine's clock.
pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
