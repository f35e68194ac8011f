//! Reservations that are over. One that is over promises nothing from that moment on; sweeping brings the levels to it.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;

impl Oltp {
    /// Ends reservations that were over by `now`, of at most `levels` levels; gives the number that ended. Waits for nobody: what is in
    /// use is left for the next time.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the store cannot do it now.
    pub async fn sweep_stock(&self, now: Timestamp, levels: u32) -> Result<u64, OltpError> {
        let most = i32::try_from(levels).unwrap_or(i32::MAX);
        let rows = self.query(statement::SWEEP_STOCK, &[&now, &most]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i32>(0).unsigned_abs().into()))
    }
}
