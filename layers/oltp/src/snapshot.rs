//! Reading a whole table at one moment, for whoever compares it with what is served.

use crate::error::{self, OltpError};
use crate::pool::Oltp;
use futures_util::{TryStreamExt as _, pin_mut};
use model::Position;
use model::position::parse_lsn;
use tokio_postgres::IsolationLevel;

/// Reading a large table takes as long as it takes, and so may whoever takes its rows.
const WITHOUT_LIMITS: &str = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
    select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'";

impl Oltp {
    /// Gives the rows of a reading statement, all of one moment, as they come, and then a position at or after that moment: what
    /// is served at it has seen these rows. Each row is a number, a text, and perhaps another text. There is no limit of time.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer; [`OltpError::Internal`] when it refuses the statement.
    pub async fn read_whole(
        &self,
        sql: &str,
        mut take: impl FnMut(i64, &str, Option<&str>),
    ) -> Result<Position, OltpError> {
        let fail = |error: tokio_postgres::Error| error::outward(&error);
        let mut client = self.client().await?;
        let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let snapshot = snapshot.start().await.map_err(fail)?;
        snapshot.batch_execute(WITHOUT_LIMITS).await.map_err(fail)?;
        let rows = snapshot.query_raw(sql, std::iter::empty::<&str>()).await.map_err(fail)?;
        pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(fail)? {
            take(row.get(0), row.get(1), row.get(2));
        }
        let lsn: String =
            snapshot.query_one("select pg_current_wal_flush_lsn()::text", &[]).await.map_err(fail)?.get(0);
        snapshot.commit().await.map_err(fail)?;
        parse_lsn(&lsn).map(Position::Wal).map_err(|error| OltpError::Internal(error.to_string()))
    }
}
