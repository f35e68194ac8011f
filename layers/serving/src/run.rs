//! The loops: from the bus into the analytics, and from the bus into the profiles.

use crate::batch::Batch;
use crate::feed::{Feed, Taken};
use crate::freshness::Shape;
use crate::progress::Reach;
use crate::{Analytics, Config, Freshness, Profiles, Progress, ServingError, metrics, placement, tables};
use async_trait::async_trait;
use bus::{Bus, BusError, TopicPartition};
use runtime::{Clock, Meter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longest wait for new records before the store is looked after.
const IDLE: Duration = Duration::from_millis(500);

/// What a loop works with.
#[derive(Clone)]
pub struct Work {
    /// The section.
    pub config: Config,
    /// Where records come from.
    pub bus: Arc<dyn Bus>,
    /// Where this loop stands.
    pub progress: Arc<Progress>,
    /// Where samples of freshness go.
    pub freshness: Freshness,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The meter of serving.
    pub meter: Meter,
}

/// Keeps the analytics up with the bus until told to stop. Failures of the bus or the store are retried.
///
/// # Errors
/// When the bus is closed before the stop, can do no more, or is not the one that the store was filled from.
pub async fn run_analytics(
    work: Work,
    analytics: Arc<dyn Analytics>,
    stop: CancellationToken,
) -> Result<(), ServingError> {
    let sink = AnalyticsSink { analytics, config: work.config.clone(), meter: work.meter.clone() };
    keep_up(&work, &sink, &tables::topics(), &stop).await
}

/// Keeps the profiles up with the bus until told to stop. Failures of the bus or the store are retried.
///
/// # Errors
/// When the bus is closed before the stop, can do no more, or is not the one that the store was filled from.
pub async fn run_profiles(work: Work, profiles: Profiles, stop: CancellationToken) -> Result<(), ServingError> {
    let mut topics = tables::topics();
    topics.retain(|(name, _)| placement::topics().any(|topic| topic == name));
    keep_up(&work, &ProfilesSink { profiles, meter: work.meter.clone() }, &topics, &stop).await
}

/// One shape, as a loop sees it.
#[async_trait]
trait Sink: Send + Sync {
    fn shape(&self) -> Shape;
    /// Kind of its records and failures in the meters.
    fn kind(&self) -> &'static str;
    fn interval(&self) -> Duration;
    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError>;
    async fn apply(&self, batch: Batch) -> Result<(), ServingError>;
    /// Looks after the store; `quiet` is how long nothing has arrived.
    async fn tidy(&self, quiet: Duration) -> Result<(), ServingError>;
    /// Shows how many records were taken in, and where the loop stands.
    fn show(&self, records: usize, position: Option<String>);
}

async fn keep_up(
    work: &Work,
    sink: &dyn Sink,
    topics: &[(String, i32)],
    stop: &CancellationToken,
) -> Result<(), ServingError> {
    let mut pause = PAUSE.0;
    loop {
        let outcome = tokio::select! {
            outcome = follow(work, sink, topics, &mut pause) => outcome,
            () = stop.cancelled() => return Ok(()),
        };
        match outcome {
            Err(ServingError::Bus(BusError::Closed)) if stop.is_cancelled() => return Ok(()),
            Err(
                error @ (ServingError::Bus(BusError::Closed | BusError::Poisoned(_)) | ServingError::Foreign { .. }),
            ) => return Err(error),
            Err(error) => {
                tracing::warn!(target: "serving", %error, shape = ?sink.shape(), pause_ms = pause.as_millis(), "will retry");
                work.meter.failed(sink.kind(), &error.to_string());
            }
            Ok(()) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// From the sink's own positions on, for ever; ends with the first failure.
async fn follow(
    work: &Work,
    sink: &dyn Sink,
    topics: &[(String, i32)],
    pause: &mut Duration,
) -> Result<(), ServingError> {
    let mut feed = Feed::new(work.bus.as_ref(), topics, &sink.positions().await?);
    work.progress.advance(feed.positions(), None);
    let mut ready: Option<Taken> = None;
    let mut last = Instant::now();
    loop {
        let taken = match ready.take() {
            Some(taken) => taken,
            None => feed.take(&work.config, work.clock.now(), &work.meter).await?,
        };
        if taken.batch.records() == 0 {
            note(work, sink, &taken, &BTreeMap::new());
            sink.tidy(last.elapsed()).await?;
            *pause = PAUSE.0;
            feed.wait(IDLE).await?;
            continue;
        }
        last = Instant::now();
        let (batch, taken) = split(taken);
        let received = batch.received().to_vec();
        let progress = batch.progress().clone();
        if taken.drained {
            sink.apply(batch).await?;
        } else {
            // Far behind: the next batch is read while this one is written.
            let next = feed.take(&work.config, work.clock.now(), &work.meter);
            let (applied, next) = tokio::join!(sink.apply(batch), next);
            applied?;
            ready = Some(next?);
        }
        *pause = PAUSE.0;
        note(work, sink, &taken, &progress);
        sample(work, sink.shape(), &received);
        sink.tidy(Duration::ZERO).await?;
        if ready.is_none() {
            tokio::time::sleep(sink.interval().saturating_sub(last.elapsed())).await;
        }
    }
}

/// The batch, and what is told of it.
fn split(taken: Taken) -> (Batch, Taken) {
    let told = Batch::counted(taken.batch.records());
    let Taken { batch, .. } = taken;
    (batch, Taken { batch: told, ..taken })
}

/// Tells what is served now.
fn note(work: &Work, sink: &dyn Sink, taken: &Taken, applied: &BTreeMap<TopicPartition, i64>) {
    let reach = Reach {
        lsn: taken.lsn,
        complete_to: taken.complete_to,
        lag_records: taken.left,
        processing_lag_records: taken.unprocessed,
    };
    work.progress.advance(applied, Some(reach));
    work.meter.lag(work.freshness.waits(sink.shape(), taken.left));
    let position = work.progress.as_of().position;
    sink.show(taken.batch.records(), position);
}

fn sample(work: &Work, shape: Shape, received: &[i64]) {
    let now = work.clock.now().as_microsecond();
    let kind = if shape == Shape::Analytics { metrics::SIGNAL_TO_SQL } else { metrics::SIGNAL_TO_PROFILE };
    for at in received {
        work.meter.took(kind, Duration::from_micros(u64::try_from(now.saturating_sub(*at)).unwrap_or(0)));
    }
    work.freshness.record(shape, received.iter().map(|at| now.saturating_sub(*at)));
}

struct AnalyticsSink {
    analytics: Arc<dyn Analytics>,
    config: Config,
    meter: Meter,
}

#[async_trait]
impl Sink for AnalyticsSink {
    fn shape(&self) -> Shape {
        Shape::Analytics
    }

    fn kind(&self) -> &'static str {
        metrics::ANALYTICS
    }

    fn interval(&self) -> Duration {
        self.config.commit_interval()
    }

    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError> {
        self.analytics.positions().await
    }

    async fn apply(&self, batch: Batch) -> Result<(), ServingError> {
        let began = Instant::now();
        self.analytics.apply(batch).await?;
        self.meter.took(metrics::COMMIT, began.elapsed());
        Ok(())
    }

    async fn tidy(&self, quiet: Duration) -> Result<(), ServingError> {
        let bytes = self.analytics.log_bytes();
        let idle =
            quiet >= Duration::from_millis(self.config.checkpoint_idle_ms) && bytes > self.config.checkpoint_idle_bytes;
        if idle || bytes > self.config.checkpoint_bytes {
            let began = Instant::now();
            self.analytics.checkpoint().await?;
            self.meter.took(metrics::CHECKPOINT, began.elapsed());
        }
        Ok(())
    }

    fn show(&self, records: usize, position: Option<String>) {
        if records > 0 {
            self.meter.handled(metrics::ANALYTICS, records as u64);
        }
        if let Some(position) = position {
            self.meter.position(position);
        }
    }
}

struct ProfilesSink {
    profiles: Profiles,
    meter: Meter,
}

impl ProfilesSink {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Profiles) -> Result<T, ServingError> + Send + 'static,
    ) -> Result<T, ServingError> {
        let profiles = self.profiles.clone();
        let done = tokio::task::spawn_blocking(move || work(&profiles)).await;
        done.map_err(|error| ServingError::Store(error.to_string()))?
    }
}

#[async_trait]
impl Sink for ProfilesSink {
    fn shape(&self) -> Shape {
        Shape::Profiles
    }

    fn kind(&self) -> &'static str {
        metrics::PROFILES
    }

    fn interval(&self) -> Duration {
        Duration::ZERO
    }

    async fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError> {
        self.blocking(Profiles::positions).await
    }

    async fn apply(&self, batch: Batch) -> Result<(), ServingError> {
        self.blocking(move |profiles| profiles.apply(&batch)).await
    }

    async fn tidy(&self, _quiet: Duration) -> Result<(), ServingError> {
        Ok(())
    }

    fn show(&self, records: usize, _position: Option<String>) {
        if records > 0 {
            self.meter.count(metrics::PROFILES, records as u64);
        }
    }
}
