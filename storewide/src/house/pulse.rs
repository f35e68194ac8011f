//! The pulse: once a second it takes the rates anew, and tells how far the layers have come that have no loop of their own.

use super::Parts;
use bus::{Bus, BusError, TopicPartition};
use model::{Layer, Position, topic};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);

/// Beats until told to stop. What cannot be read now is shown as it was.
pub(super) async fn run(parts: Parts, stop: CancellationToken) -> Result<(), Infallible> {
    let [log, doors, capture] = [Layer::Bus, Layer::Gateway, Layer::Capture].map(|layer| parts.telemetry.meter(layer));
    let mut beats = interval(EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        parts.telemetry.tick();
        match heads(parts.bus.as_ref()).await {
            Ok((all, events)) => {
                log.position(format!("records {all}"));
                doors.position(format!("events {events}"));
            }
            Err(error) => tracing::debug!(%error, "the log's heads cannot be read"),
        }
        // The store shows its own position in passing.
        if let Ok(Ok(Position::Wal(end))) = timeout(EVERY, parts.oltp.position()).await
            && let Some(captured) = captured(&parts)
        {
            capture.lag_bytes(end.saturating_sub(captured));
        }
    }
}

/// The store's log as far as capture has brought it to the bus.
fn captured(parts: &Parts) -> Option<u64> {
    let layers = parts.telemetry.status();
    let capture = layers.iter().find(|status| status.layer == Layer::Capture)?;
    match capture.position.parse() {
        Ok(Position::Wal(lsn)) => Some(lsn),
        _ => None,
    }
}

/// Records ever written: to all topics, and to the one of accepted events.
async fn heads(bus: &dyn Bus) -> Result<(i64, i64), BusError> {
    let (mut all, mut events) = (0, 0);
    for (name, partitions) in topic::all() {
        for partition in 0..partitions {
            let head = bus.watermarks(&TopicPartition::new(&*name, partition)).await?.high;
            all += head;
            events += if name == topic::EVENTS { head } else { 0 };
        }
    }
    Ok((all, events))
}
