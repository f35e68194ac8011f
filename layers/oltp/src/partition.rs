//! Ledgers in partitions by month: made ahead, and dropped when they are older than what is kept.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;

/// Ledgers of which something else in the store is the sum: a month that is dropped would put the books out of balance.
pub(crate) const KEPT: [&str; 2] = ["points_ledger", "inventory_movement"];

/// A part of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The ledger.
    pub ledger: String,
    /// The partition's own table.
    pub name: String,
    /// From when on its rows were made; none where it takes all before `until`.
    pub since: Option<Timestamp>,
    /// Until when; none for the default partition, which takes what no other one takes.
    pub until: Option<Timestamp>,
}

/// What upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Partitions that were made.
    pub made: i32,
    /// Partitions that were dropped.
    pub dropped: i32,
}

impl Oltp {
    /// The partitions of all ledgers, each ledger's in the order of time.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn partitions(&self) -> Result<Vec<Partition>, OltpError> {
        let rows = self.query(statement::PARTITIONS, &[]).await?;
        let time = |micros: Option<i64>| micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
        let partition = |row: &tokio_postgres::Row| Partition {
            ledger: row.get(0),
            name: row.get(1),
            since: time(row.get(2)),
            until: time(row.get(3)),
        };
        Ok(rows.iter().map(partition).collect())
    }

    /// Makes the partitions of the months to come, and drops those that are older than what is kept, if months to keep are
    /// configured. The points ledger and the stock ledger are kept for ever: balances are their sums. Harmless to repeat; once a
    /// day is often enough.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer, or a ledger is locked for too long.
    pub async fn keep_partitions(&self) -> Result<Upkeep, OltpError> {
        let config = &self.inner.config;
        let rows = self.query(statement::MAKE_PARTITIONS, &[&i32::from(config.partitions_ahead)]).await?;
        let mut upkeep = Upkeep { made: rows.first().map_or(0, |row| row.get(0)), dropped: 0 };
        let Some(months) = config.keep_months else { return Ok(upkeep) };
        let mut ledgers: Vec<String> = self.partitions().await?.into_iter().map(|partition| partition.ledger).collect();
        ledgers.dedup();
        for ledger in ledgers.iter().filter(|ledger| !KEPT.contains(&ledger.as_str())) {
            let rows = self.query(statement::DROP_PARTITIONS, &[ledger, &i32::from(months.max(1))]).await?;
            upkeep.dropped += rows.first().map_or(0, |row| row.get::<_, i32>(0));
        }
        Ok(upkeep)
    }
}
