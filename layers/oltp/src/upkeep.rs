//! What time does to the store, whether or not somebody asks: the one loop for all of it.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds. No answer waits for a round: whoever reads or writes counts what fell due as done.
const EVERY: Duration = Duration::from_secs(2);
/// Most records in one transaction, so that nobody waits long behind it.
const MOST: i32 = 200;

/// Each takes the most records that it may touch, and gives how many it touched.
const SWEEPS: [(&str, &str); 1] = [("points", statement::SWEEP_POINTS)];

impl Oltp {
    /// Books what falls due until it is told to stop. A failure is logged and tried again in the next round.
    ///
    /// # Errors
    /// None; the type is that of a task.
    pub async fn run_upkeep(&self, stop: CancellationToken) -> Result<(), OltpError> {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            for (name, sweep) in SWEEPS {
                if let Err(error) = self.sweep(sweep, &stop).await {
                    tracing::warn!(target: "oltp", %error, sweep = name, "upkeep failed; tried again later");
                }
            }
        }
        Ok(())
    }

    /// Sweeps until nothing is left, or not enough for a whole transaction.
    async fn sweep(&self, sweep: &'static str, stop: &CancellationToken) -> Result<(), OltpError> {
        while !stop.is_cancelled() {
            let touched: i32 = self.query(sweep, &[&MOST]).await?.first().map_or(0, |row| row.get(0));
            if touched < MOST {
                break;
            }
        }
        Ok(())
    }
}
