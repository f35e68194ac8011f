//! What time does to the store, whether or not somebody asks: the one loop for all of it.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use runtime::{Clock, SystemClock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds. No answer waits for a round: whoever reads or writes counts what fell due as done.
const EVERY: Duration = Duration::from_secs(2);
/// Most records in one transaction, so that nobody waits long behind it.
const MOST: u32 = 200;

/// What falls due: points that become spendable, expire or were reserved too long; coupons and uses of them that are over;
/// reservations of stock; tiers whose period has ended. Each leaves what is in use for the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Points.
    Points,
    /// Coupons.
    Coupons,
    /// Reservations of stock.
    Stock,
    /// Tiers.
    Tiers,
}

impl Due {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Points, Self::Coupons, Self::Stock, Self::Tiers];

    const fn statement(self) -> &'static str {
        match self {
            Self::Points => statement::SWEEP_POINTS,
            Self::Coupons => statement::SWEEP_COUPONS,
            Self::Stock => statement::SWEEP_STOCK,
            Self::Tiers => statement::SWEEP_TIERS,
        }
    }
}

impl Oltp {
    /// Books what fell due until it is told to stop. A failure is logged and tried again in the next round.
    ///
    /// # Errors
    /// None; the type is that of a task.
    pub async fn run_upkeep(&self, stop: CancellationToken) -> Result<(), OltpError> {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            for due in Due::ALL {
                if let Err(error) = self.sweep_all(due, &stop).await {
                    tracing::warn!(target: "oltp", %error, ?due, "upkeep failed; tried again later");
                }
            }
        }
        Ok(())
    }

    /// Books what fell due by `now`, of at most `most` records; gives of how many.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn sweep(&self, due: Due, now: Timestamp, most: u32) -> Result<u32, OltpError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let rows = self.query(due.statement(), &[&now, &most]).await?;
        Ok(rows.first().map_or(0, |row| u32::try_from(row.get::<_, i32>(0)).unwrap_or(0)))
    }

    /// Sweeps until nothing is left, or not enough for a whole transaction.
    async fn sweep_all(&self, due: Due, stop: &CancellationToken) -> Result<(), OltpError> {
        while !stop.is_cancelled() && self.sweep(due, SystemClock.now(), MOST).await? >= MOST {}
        Ok(())
    }
}
