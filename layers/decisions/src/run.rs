//! The loops: propose, execute, outcomes, close. Each may die at any instant and goes on from what is durable.

use crate::{Config, DecisionsError, close, execute, metrics, outcomes, propose};
use bus::Bus;
use contract::playbooks::Playbooks;
use model::Timestamp;
use oltp::Oltp;
use runtime::{Clock, Meter};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// First wait after a failure; it doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What the loops share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) oltp: Oltp,
    pub(crate) playbooks: Arc<Playbooks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    pub(crate) stop: CancellationToken,
    /// Rung when actions were made.
    pub(crate) due: Notify,
}

impl Shared {
    /// Waits until it is time to look again: the poll's time, the stop, or, for whoever waits for actions, their making.
    pub(crate) async fn idle(&self, for_actions: bool) {
        let made = async {
            if for_actions {
                self.due.notified().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(self.config.poll()) => {}
            () = made => {}
        }
    }
}

/// Turns intents into recommendations, due actions into signed webhooks, and orders into outcomes, until told to stop.
///
/// Failures of the bus and of the database are tried again, with growing waits.
///
/// # Errors
/// [`DecisionsError::Config`] when the configuration is wrong, and whatever will not pass by itself.
pub async fn run(
    config: Config,
    bus: Arc<dyn Bus>,
    oltp: Oltp,
    playbooks: Arc<Playbooks>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    stop: CancellationToken,
) -> Result<(), DecisionsError> {
    config.validate()?;
    let shared = Arc::new(Shared { config, bus, oltp, playbooks, clock, meter, stop, due: Notify::new() });
    let loops = async {
        tokio::try_join!(
            keep(&shared, || propose::run(&shared)),
            keep(&shared, || execute::run(&shared)),
            keep(&shared, || outcomes::run(&shared)),
            keep(&shared, || close::run(&shared)),
        )
    };
    loops.await.map(drop)
}

/// Runs a loop again after a failure that may pass.
async fn keep<F>(shared: &Shared, start: impl Fn() -> F) -> Result<(), DecisionsError>
where
    F: Future<Output = Result<(), DecisionsError>>,
{
    let mut wait = WAIT_FIRST;
    loop {
        let begun = std::time::Instant::now();
        let error = match start().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => error,
            Err(error) => return Err(error),
        };
        if shared.stop.is_cancelled() {
            return Ok(());
        }
        shared.meter.failed(metrics::LOOP, &error.to_string());
        tracing::warn!(target: "decisions", %error, "a loop failed and goes on");
        // What ran well for a while starts over with a short wait.
        wait = if begun.elapsed() > WAIT_MAX { WAIT_FIRST } else { wait };
        tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// A time some while after another.
pub(crate) fn later(from: Timestamp, wait: Duration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}
