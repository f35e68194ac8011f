//! Partitions: the tables that are cut by month, their pieces, and making and dropping them.

use crate::error::OltpError;
use crate::partition::KEPT;
use crate::pool::Oltp;
use crate::{error, statement};
use serde::{Deserialize, Serialize};

/// Most months in one call: a longer way ahead or back is a slip of the finger.
const MONTHS_MAX: u32 = 240;

/// A piece of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSize {
    /// The table that it is a piece of.
    pub table: String,
    /// Its own name.
    pub partition: String,
    /// What it holds, in PostgreSQL's words.
    pub bounds: String,
    /// Size with indexes, in bytes; none while somebody has locked it for himself.
    pub bytes: Option<i64>,
    /// Rows, estimated.
    pub rows: i64,
}

/// What to do with partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes what is missing, of every table, for so many months after this one.
    Make {
        /// How many, 1 to 240.
        months: u32,
    },
    /// Drops those of a table that hold nothing of the last so many whole months. What is dropped is gone from the store.
    Drop {
        /// The table, without its schema.
        table: String,
        /// How many months are kept, 1 to 240.
        keep_months: u32,
    },
}

impl Oltp {
    /// All partitions, by table and name.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn partition_sizes(&self) -> Result<Vec<PartitionSize>, OltpError> {
        Ok(self.document(statement::STORE_PARTITIONS).await?.unwrap_or_default())
    }

    /// Makes or drops partitions; gives how many.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] when the number of months is out of range; [`OltpError::NotFound`] when the schema has no partitions,
    /// or not of this table; [`OltpError::Unavailable`] when the server does not answer or somebody holds what has to be locked.
    pub async fn change_partitions(&self, change: &Change) -> Result<i32, OltpError> {
        let (Change::Make { months } | Change::Drop { keep_months: months, .. }) = change;
        if !(1..=MONTHS_MAX).contains(months) {
            let detail = format!("a number of months is from 1 to {MONTHS_MAX}");
            return Err(OltpError::invalid("oltp.out_of_range", "", detail));
        }
        let client = self.client().await?;
        let fail = |error: tokio_postgres::Error| error::outward(&error);
        let there = "select to_regprocedure('crm.make_partitions(integer)') is not null";
        if !client.query_one(there, &[]).await.map_err(fail)?.get::<_, bool>(0) {
            let text = "the schema has no partitions; bring it up to date with `storewide oltp migrate`";
            return Err(OltpError::NotFound(text.to_owned()));
        }
        let months = i32::try_from(*months).unwrap_or(i32::MAX);
        let changed = match change {
            Change::Make { .. } => client.query_one("select crm.make_partitions($1)", &[&months]).await,
            Change::Drop { table, .. } => {
                if KEPT.contains(&table.as_str()) {
                    let detail = "balances are the sums of this ledger: it is kept for ever";
                    return Err(OltpError::invalid("oltp.ledger_kept", "/table", detail));
                }
                let known = "select exists (select from pg_partitioned_table p join pg_class c on c.oid = p.partrelid
                    where c.relnamespace = 'crm'::regnamespace and c.relname = $1)";
                if !client.query_one(known, &[table]).await.map_err(fail)?.get::<_, bool>(0) {
                    return Err(OltpError::NotFound("there is no such table with partitions".to_owned()));
                }
                client.query_one("select crm.drop_partitions($1, $2)", &[table, &months]).await
            }
        };
        Ok(changed.map_err(fail)?.get(0))
    }
}
