//! What vacuum has done, what it has to do, and what an operator should do about it.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use serde::{Deserialize, Serialize};

/// Dead rows that are worth a word, at least so many and such a part of all.
const DEAD: (i64, f64) = (10_000, 0.2);
/// Room that is worth a word, at least so many bytes and such a part of the table.
const BLOAT: (i64, f64) = (64 * 1024 * 1024, 0.5);
/// Rows from which on a plan needs statistics.
const ROWS: i64 = 1_000;

/// The health of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHealth {
    /// Schema and name.
    pub table: String,
    /// Rows, estimated.
    pub live: i64,
    /// Rows that were updated or deleted and take room until vacuum comes, estimated.
    pub dead: i64,
    /// Size without indexes and long values, in bytes, as of the last vacuum or analyse.
    pub bytes: i64,
    /// Room that its rows would not need, in bytes, estimated from the average widths of its columns.
    pub bloat_bytes: i64,
    /// Age of the oldest transaction id that is not frozen.
    pub frozen_xid_age: i64,
    /// The age at which vacuum is forced.
    pub frozen_xid_age_max: i64,
    /// When it was last vacuumed, by anybody.
    pub last_vacuum: Option<Timestamp>,
    /// When it was last analysed, by anybody.
    pub last_analyze: Option<Timestamp>,
    /// Whether the table is left out of autovacuum.
    pub autovacuum_off: bool,
    /// What to do, in words; none when there is nothing to do.
    #[serde(default)]
    pub advice: Option<String>,
}

impl Oltp {
    /// The health of all tables, those with most dead rows first.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn vacuum_report(&self) -> Result<Vec<TableHealth>, OltpError> {
        let mut tables: Vec<TableHealth> = self.document(statement::STORE_VACUUM).await?.unwrap_or_default();
        for table in &mut tables {
            table.advice = advice(table);
        }
        Ok(tables)
    }
}

fn advice(of: &TableHealth) -> Option<String> {
    let part = |some: i64, all: i64| some as f64 / all.max(1) as f64;
    let name = &of.table;
    if of.frozen_xid_age > of.frozen_xid_age_max {
        return Some(format!("`vacuum (freeze) {name}` now: its transaction ids are older than vacuum lets them get"));
    }
    if of.autovacuum_off {
        return Some(format!("`alter table {name} reset (autovacuum_enabled)`: nobody vacuums it"));
    }
    if of.dead > DEAD.0 && part(of.dead, of.live + of.dead) > DEAD.1 {
        return Some(format!(
            "`vacuum (analyze) {name}`; if it does not help, a long transaction holds the rows: `storewide oltp status`"
        ));
    }
    if of.bloat_bytes > BLOAT.0 && part(of.bloat_bytes, of.bytes) > BLOAT.1 {
        return Some(
            "vacuum keeps the room for new rows; to give it back, `pg_repack`, or `vacuum full` while nobody serves"
                .to_owned(),
        );
    }
    (of.last_analyze.is_none() && of.live > ROWS).then(|| format!("`analyze {name}`: it has no statistics yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_worst() {
        let well = TableHealth {
            table: "crm.x".to_owned(),
            live: 100_000,
            dead: 100,
            bytes: 1 << 30,
            bloat_bytes: 1 << 20,
            frozen_xid_age: 10,
            frozen_xid_age_max: 200,
            last_vacuum: None,
            last_analyze: Some(Timestamp::UNIX_EPOCH),
            autovacuum_off: false,
            advice: None,
        };
        assert_eq!(advice(&well), None);
        for (sick, word) in [
            (TableHealth { frozen_xid_age: 201, dead: 90_000, ..well.clone() }, "freeze"),
            (TableHealth { autovacuum_off: true, ..well.clone() }, "reset"),
            (TableHealth { dead: 90_000, bloat_bytes: 1 << 30, ..well.clone() }, "vacuum (analyze) crm.x"),
            (TableHealth { bloat_bytes: 1 << 30, ..well.clone() }, "pg_repack"),
            (TableHealth { last_analyze: None, ..well }, "analyze crm.x"),
        ] {
            assert!(advice(&sick).unwrap().contains(word), "{sick:?}");
        }
    }
}
