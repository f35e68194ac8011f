//! The replication slot: whether it still goes on where the bus ends, and connecting to it.

use crate::store::{Stored, Unfinished};
use crate::{CaptureError, Config};
use pgwire_replication::{Lsn, ReplicationConfig};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::config::Host;

/// How often PostgreSQL is told what is durable, at most.
const FEEDBACK: Duration = Duration::from_millis(100);

/// One format of values for everybody, whatever the server's or the role's settings are.
pub(crate) const FORMATS: &str =
    "-c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=iso_8601 -c bytea_output=hex -c extra_float_digits=1";

/// Why the store has to be read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing is on the bus.
    First,
    /// The last snapshot was not completed.
    Interrupted,
    /// There is no slot, though there was one.
    Missing,
    /// PostgreSQL has given up the slot, and removed log that was not read.
    Lost,
    /// The slot was moved on, or dropped and created again, by somebody else.
    Ahead,
    /// Tables with rows joined the publication.
    TablesAdded,
}

impl Reason {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::First => "nothing is on the bus yet",
            Self::Interrupted => "the last snapshot was not completed",
            Self::Missing => "the replication slot is gone",
            Self::Lost => "PostgreSQL has invalidated the replication slot",
            Self::Ahead => "the replication slot was moved on or created again by somebody else",
            Self::TablesAdded => "tables with rows joined the publication",
        }
    }

    /// Whether changes may be missing on the bus.
    pub(crate) const fn is_gap(self) -> bool {
        matches!(self, Self::Missing | Self::Lost | Self::Ahead)
    }
}

/// What the server says of itself and of the slot.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) system: String,
    pub(crate) database: String,
    /// End of its log on disk.
    flushed: u64,
    slot: Option<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    ours: bool,
    lost: bool,
    confirmed: Option<u64>,
}

const SERVER: &str = "select (select system_identifier::text from pg_control_system()), current_database()::text, \
    pg_current_wal_flush_lsn()::text, s.slot_name is not null, \
    coalesce(s.plugin = 'pgoutput' and s.database = current_database(), false), coalesce(s.wal_status = 'lost', false), \
    s.confirmed_flush_lsn::text from (select) one left join pg_replication_slots s on s.slot_name = $1";

/// Asks the server.
pub(crate) async fn inspect(client: &Client, slot: &str) -> Result<Server, CaptureError> {
    let row = client.query_one(SERVER, &[&slot]).await?;
    let confirmed: Option<&str> = row.get(6);
    let slot = row.get::<_, bool>(3).then(|| -> Result<Slot, CaptureError> {
        Ok(Slot { ours: row.get(4), lost: row.get(5), confirmed: confirmed.map(lsn).transpose()? })
    });
    Ok(Server { system: row.get(0), database: row.get(1), flushed: lsn(row.get(2))?, slot: slot.transpose()? })
}

impl Server {
    /// Whether the stream can go on where the bus ends; else why the store has to be read as a whole.
    pub(crate) fn judge(
        &self,
        stored: Option<&Stored>,
        unfinished: Option<&Unfinished>,
        tables_added: bool,
    ) -> Result<Option<Reason>, CaptureError> {
        if self.slot.as_ref().is_some_and(|slot| !slot.ours) {
            let text = "a slot of this name serves another database or plugin; set another name for `capture.slot`";
            return Err(CaptureError::Config(text.to_owned()));
        }
        let Some(stored) = stored else {
            return Ok(Some(if unfinished.is_some() { Reason::Interrupted } else { Reason::First }));
        };
        if stored.system != self.system || stored.database != self.database {
            return Err(CaptureError::OtherStore("it is another cluster or database".to_owned()));
        }
        if stored.position.lsn > self.flushed {
            // Versions of changes are log positions: after going back, new changes would look older than the ones on the bus.
            return Err(CaptureError::OtherStore("its log ends before what is on the bus; it was restored".to_owned()));
        }
        let reason = match &self.slot {
            _ if unfinished.is_some() => Reason::Interrupted,
            None => Reason::Missing,
            Some(slot) if slot.lost || slot.confirmed.is_none() => Reason::Lost,
            // We acknowledge only what is stored, so the server cannot have been told more by us.
            Some(slot) if slot.confirmed > Some(stored.position.lsn) => Reason::Ahead,
            Some(_) if tables_added => Reason::TablesAdded,
            Some(_) => return Ok(None),
        };
        Ok(Some(reason))
    }

    pub(crate) const fn has_slot(&self) -> bool {
        self.slot.is_some()
    }
}

/// Settings of the replication connection, from those of an ordinary one.
pub(crate) fn replication(
    config: &Config,
    pg: &tokio_postgres::Config,
    from: u64,
) -> Result<ReplicationConfig, CaptureError> {
    let bad = |text: &str| CaptureError::Config(text.to_owned());
    let host = match pg.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => {
            path.to_str().map(str::to_owned).ok_or_else(|| bad("the socket's path is not UTF-8"))?
        }
        None => return Err(bad("the connection to PostgreSQL names no host")),
    };
    let user = pg.get_user().ok_or_else(|| bad("the connection to PostgreSQL names no user"))?;
    let password = String::from_utf8_lossy(pg.get_password().unwrap_or_default());
    let database = pg.get_dbname().unwrap_or(user);
    Ok(ReplicationConfig::new(host, user, password, database, &config.slot, config.publication.as_str())
        .with_port(pg.get_ports().first().copied().unwrap_or(5432))
        .with_start_lsn(Lsn::from_u64(from))
        .with_status_interval(FEEDBACK)
        .with_application_name("storewide capture")
        .with_options(FORMATS))
}

/// Reads a log position.
pub(crate) fn lsn(text: &str) -> Result<u64, CaptureError> {
    model::position::parse_lsn(text).map_err(|_| CaptureError::Protocol(format!("`{text}` is no log position")))
}
