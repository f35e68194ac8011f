//! Closes windows that are over: whoever bought nothing has the outcome `none`.

use crate::run::Shared;
use crate::{DecisionsError, metrics};

/// Most windows closed at a time.
const ACTIONS_MAX: u32 = 200;

pub(crate) async fn run(shared: &Shared) -> Result<(), DecisionsError> {
    while !shared.stop.is_cancelled() {
        let now = shared.clock.now();
        let due = shared.oltp.outcomes_due(now, ACTIONS_MAX).await?;
        if due.is_empty() {
            shared.idle(false).await;
            continue;
        }
        let changed = shared.oltp.settle_outcomes(&due, now).await?;
        shared.meter.count(metrics::OUTCOME, changed);
    }
    Ok(())
}
