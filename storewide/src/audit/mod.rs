//! The audit: the store against the serving layer, row by row, while both run.
//!
//! Each round reads the store in one snapshot, waits until the serving layer has reached that position, and compares hashes
//! of all rows. Rows that differ may only have moved on in between; so what differs is compared again, and counts only when the
//! same difference stands in `ROUNDS` rounds.

mod digest;
mod profiles;

use anyhow::{Context, Result};
use bus::Bus;
use digest::{Digests, Pair};
use oltp::Oltp;
use serde::{Deserialize, Serialize};
use serving::Serving;
use serving::freshness::await_token;
use serving::tables::{self, Table};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Rounds in which a difference must stand, unchanged, to count.
const ROUNDS: u32 = 4;
/// Pause before a round that compares again.
const PAUSE: Duration = Duration::from_millis(300);
/// Longest wait for the serving layer to reach the store's position.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What an audit found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Tables compared.
    pub tables: usize,
    /// Rows of the store.
    pub rows: u64,
    /// Rows that the store has and the serving layer lacks.
    pub missing: u64,
    /// Rows that the serving layer has and the store lacks.
    pub extra: u64,
    /// Rows that both have and that are not equal.
    pub different: u64,
    /// Position of the store at which the last round was made.
    pub position: String,
    /// Each table.
    pub by_table: Vec<OfTable>,
}

/// What an audit found in one table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OfTable {
    /// The table, by its name in the serving layer.
    pub table: String,
    /// Rows of the store.
    pub rows: u64,
    /// Rows that the serving layer lacks.
    pub missing: u64,
    /// Rows that the store lacks.
    pub extra: u64,
    /// Rows that are not equal.
    pub different: u64,
}

impl OfTable {
    /// Counts a key under which the sides have not the same.
    const fn count(&mut self, pair: &Pair) {
        let (store, served) = (pair.store.rows, pair.served.rows);
        self.missing += store.saturating_sub(served);
        self.extra += served.saturating_sub(store);
        self.different += (store == served) as u64;
    }
}

impl Report {
    /// Whether nothing is missing, extra or different.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0
    }

    fn add(&mut self, of: OfTable) {
        self.tables += 1;
        self.rows += of.rows;
        self.missing += of.missing;
        self.extra += of.extra;
        self.different += of.different;
        self.by_table.push(of);
    }
}

/// Both sides of the comparison.
#[derive(Clone)]
pub struct Sides {
    /// The store.
    pub oltp: Oltp,
    /// The bus, to wait for a position.
    pub bus: Arc<dyn Bus>,
    /// The serving layer.
    pub serving: Serving,
}

/// Compares everything.
///
/// # Errors
/// When a side cannot be read, or the serving layer does not reach the store's position in time.
pub async fn run(sides: &Sides) -> Result<Report> {
    let mut report = Report::default();
    for table in tables::crm() {
        let (of, position) = compare(sides, table).await?;
        report.add(of);
        report.position = position;
    }
    report.add(profiles::compare(sides).await?);
    Ok(report)
}

/// Compares one table until what differs is settled.
async fn compare(sides: &Sides, table: &Table) -> Result<(OfTable, String)> {
    let mut standing: Option<HashMap<i64, Pair>> = None;
    let (mut rows, mut position) = (0, String::new());
    for round in 0..ROUNDS {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let (pairs, count, at) = differences(sides, table).await?;
        (rows, position) = (count, at);
        standing = Some(match standing {
            None => pairs,
            Some(before) => pairs.into_iter().filter(|(key, pair)| before.get(key) == Some(pair)).collect(),
        });
        if standing.as_ref().is_none_or(HashMap::is_empty) {
            break;
        }
    }
    let mut of = OfTable { table: table.name.to_owned(), rows, ..OfTable::default() };
    standing.unwrap_or_default().values().for_each(|pair| of.count(pair));
    Ok((of, position))
}

/// One round: rows that are not equal, the number of rows of the store, and its position.
async fn differences(sides: &Sides, table: &Table) -> Result<(HashMap<i64, Pair>, u64, String)> {
    let (store, position) = digest::of_store(&sides.oltp, table).await?;
    await_token(sides.bus.as_ref(), &sides.serving.analytics_progress, &position, WAIT_MAX)
        .await
        .context("the serving layer does not keep up")?;
    let served = digest::of_serving(sides.serving.analytics.as_ref(), table).await?;
    let rows = store.values().map(|digest| digest.rows).sum();
    Ok((unequal(&store, &served), rows, position.to_string()))
}

fn unequal(store: &Digests, served: &Digests) -> HashMap<i64, Pair> {
    let keys = store.keys().chain(served.keys().filter(|key| !store.contains_key(*key)));
    let pair = |key| Pair {
        store: store.get(key).copied().unwrap_or_default(),
        served: served.get(key).copied().unwrap_or_default(),
    };
    keys.map(|key| (*key, pair(key))).filter(|(_, pair)| pair.store != pair.served).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use digest::Digest;

    #[test]
    fn rows_are_missing_extra_or_different() {
        let one = |hash| Digest { rows: 1, hash };
        let store = Digests::from([(1, one(10)), (2, one(20)), (3, one(30)), (4, one(40))]);
        let served = Digests::from([(1, one(10)), (2, one(21)), (4, Digest { rows: 2, hash: 80 }), (5, one(50))]);
        let mut of = OfTable::default();
        unequal(&store, &served).values().for_each(|pair| of.count(pair));
        assert_eq!((of.missing, of.extra, of.different), (1, 2, 1), "3 is missing, 4 doubled, 5 extra, 2 different");
    }
}
