//! The replication slot: whether it still goes on where the bus ends, and connecting to it.

use crate::store::{Stored, Unfinished};
use crate::{CaptureError, Config};
use pgwire_replication::{Lsn, ReplicationConfig};
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::config::Host;

/// How often PostgreSQL is told what is durable, at most.
const FEEDBACK: Duration = Duration::from_millis(100);

/// Changes that wait for us in memory, at most; beyond it, PostgreSQL waits. Rows may be large, and a batch is filled as fast as
/// the buffer is.
const BUFFERED: usize = 256;

/// Settings of every session, whatever the server's or the role's are: one format of values for everybody, and no end to a
/// snapshot that takes its time, nor to a connection that has nothing to say.
pub(crate) const SETTINGS: &str = "-c timezone=UTC -c datestyle=ISO,YMD -c intervalstyle=iso_8601 -c bytea_output=hex \
    -c extra_float_digits=1 -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0";

/// From version 17 on, transactions may have a time limit too. Versions before do not know the setting, and would refuse a session
/// that asks for it.
pub(crate) const UNLIMITED: &str =
    "select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'";

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
    /// The publication did not hold all changes, or may not have done so.
    PublicationChanged,
    /// Tables with rows joined the configuration.
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
            Self::PublicationChanged => "the publication was changed by somebody else",
            Self::TablesAdded => "tables with rows joined the configuration",
        }
    }

    /// Whether changes may be missing on the bus.
    pub(crate) const fn is_gap(self) -> bool {
        matches!(self, Self::Missing | Self::Lost | Self::Ahead | Self::PublicationChanged)
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

const HELD: &str = "select wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8, safe_wal_size \
    from pg_replication_slots where slot_name = $1";

/// Says so when PostgreSQL is about to remove log that the slot still needs.
pub(crate) async fn risk(client: &Client, slot: &str) -> Result<Option<String>, CaptureError> {
    let Some(row) = client.query_opt(HELD, &[&slot]).await? else { return Ok(None) };
    Ok(at_risk(slot, row.get(0), row.get(1), row.get(2)))
}

fn at_risk(slot: &str, wal_status: Option<&str>, held: Option<i64>, safe: Option<i64>) -> Option<String> {
    // `extended` is beyond max_wal_size and still safe; `lost` ends the stream.
    (wal_status == Some("unreserved")).then(|| {
        let (held, safe) = (held.unwrap_or_default(), safe.unwrap_or_default());
        format!(
            "PostgreSQL holds back {held} bytes of log for slot {slot} and will give it up at its next checkpoint (safe_wal_size \
             {safe}): raise max_slot_wal_keep_size"
        )
    })
}

impl Server {
    /// Whether the stream can go on where the bus ends; else why the store has to be read as a whole.
    pub(crate) fn judge(
        &self,
        stored: Option<&Stored>,
        unfinished: Option<&Unfinished>,
        publication_changed: bool,
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
            Some(_) if publication_changed => Reason::PublicationChanged,
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
    let host = match pg.get_hosts() {
        [Host::Tcp(name)] => name.clone(),
        #[cfg(unix)]
        [Host::Unix(path)] => path.to_str().map(str::to_owned).ok_or_else(|| bad("the socket's path is not UTF-8"))?,
        [] => return Err(bad("the connection to PostgreSQL names no host")),
        // An ordinary connection takes whichever answers; a slot is on one of them.
        _ => return Err(bad("the connection to PostgreSQL names several hosts; name the one that has the slot")),
    };
    let user = pg.get_user().ok_or_else(|| bad("the connection to PostgreSQL names no user"))?;
    let password = String::from_utf8_lossy(pg.get_password().unwrap_or_default());
    let database = pg.get_dbname().unwrap_or(user);
    Ok(ReplicationConfig::new(host, user, password, database, &config.slot, config.publication.as_str())
        .with_port(pg.get_ports().first().copied().unwrap_or(5432))
        .with_start_lsn(Lsn::from_u64(from))
        .with_status_interval(FEEDBACK)
        .with_buffer_size(BUFFERED)
        .with_application_name("storewide capture")
        .with_options(SETTINGS))
}

/// Reads a log position.
pub(crate) fn lsn(text: &str) -> Result<u64, CaptureError> {
    model::position::parse_lsn(text).map_err(|_| CaptureError::Protocol(format!("`{text}` is no log position")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    fn stored(lsn: u64) -> Stored {
        let position = Position { lsn, partial: None };
        Stored { system: "7".to_owned(), database: "db".to_owned(), position }
    }

    fn server(slot: Option<Slot>) -> Server {
        Server { system: "7".to_owned(), database: "db".to_owned(), flushed: 100, slot }
    }

    const GOOD: Slot = Slot { ours: true, lost: false, confirmed: Some(50) };

    #[test]
    fn goes_on_only_where_nothing_can_be_missing() {
        let judge = |slot, unfinished: Option<&Unfinished>, changed| {
            server(slot).judge(Some(&stored(60)), unfinished, changed).unwrap()
        };
        assert_eq!(judge(Some(GOOD), None, false), None);
        assert_eq!(judge(Some(Slot { confirmed: Some(60), ..GOOD }), None, false), None);
        assert_eq!(judge(Some(Slot { confirmed: Some(61), ..GOOD }), None, false), Some(Reason::Ahead));
        assert_eq!(judge(Some(Slot { lost: true, ..GOOD }), None, false), Some(Reason::Lost));
        assert_eq!(judge(None, None, false), Some(Reason::Missing));
        assert_eq!(judge(Some(GOOD), None, true), Some(Reason::PublicationChanged));
        let unfinished = Unfinished { reason: String::new() };
        assert_eq!(judge(Some(GOOD), Some(&unfinished), true), Some(Reason::Interrupted));
        assert_eq!(server(None).judge(None, None, false).unwrap(), Some(Reason::First));
        assert_eq!(server(None).judge(None, Some(&unfinished), false).unwrap(), Some(Reason::Interrupted));
    }

    #[test]
    fn another_or_a_restored_store_is_refused() {
        let refused = |server: Server, lsn| {
            matches!(server.judge(Some(&stored(lsn)), None, false), Err(CaptureError::OtherStore(_)))
        };
        assert!(!refused(server(Some(GOOD)), 100));
        assert!(refused(server(Some(GOOD)), 101), "its log ends before what is on the bus");
        assert!(refused(Server { system: "8".to_owned(), ..server(Some(GOOD)) }, 60));
        assert!(refused(Server { database: "other".to_owned(), ..server(Some(GOOD)) }, 60));
        let foreign = server(Some(Slot { ours: false, ..GOOD }));
        assert!(matches!(foreign.judge(None, None, false), Err(CaptureError::Config(_))));
    }

    #[test]
    fn one_host_is_taken_and_several_are_refused() {
        let settings = |hosts: &str| {
            let pg = format!("user=me {hosts}").parse().unwrap();
            replication(&Config::default(), &pg, 0)
        };
        assert_eq!(settings("host=a port=1").unwrap().host, "a");
        assert!(matches!(settings("host=a,b"), Err(CaptureError::Config(text)) if text.contains("several hosts")));
        assert!(settings("").is_err());
    }

    #[test]
    fn a_slot_at_risk_is_told() {
        assert_eq!(at_risk("s", Some("reserved"), Some(1), Some(9)), None);
        assert_eq!(at_risk("s", Some("extended"), Some(1), Some(9)), None);
        assert!(at_risk("s", Some("unreserved"), Some(77), Some(-5)).unwrap().contains("77 bytes"));
    }
}
