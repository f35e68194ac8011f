//! Connections to PostgreSQL, and the one way in which statements are sent: pipelined with the log position, tried again while
//! the server restarts. What may be committed already is tried again only if a repeat is harmless: a write that somebody else has
//! overwritten meanwhile must not come back.

use crate::config::Config;
use crate::error::{self, Failure, OltpError};
use crate::gather::Gather;
use crate::keys::Principals;
use crate::slow::SlowLog;
use crate::{metrics, statement};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
};
use model::{Position, Tokeniser};
use runtime::Meter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::types::{PgLsn, ToSql, Type};
use tokio_postgres::{NoTls, Row};

/// A connection from the pool; it goes back when dropped.
pub type Client = deadpool_postgres::Object;

/// Parameters of a statement.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Opens a transaction that may read personal data.
const PERSONAL: &str = "begin read only; set local storewide.pii = 'on'";

/// Takes the plain role, where the connection's own would pass the policies that keep personal data, and once the schema is there.
const PLAIN: &str = "select set_config('role', plain.rolname, false) from pg_roles own, pg_roles plain
    where own.rolname = session_user and (own.rolsuper or own.rolbypassrls) and plain.rolname = 'storewide_plain'
        and has_schema_privilege(plain.oid, to_regnamespace('crm')::oid, 'usage')";

/// A statement on its way.
#[derive(Clone, Copy)]
struct Sending<'a> {
    sql: &'a str,
    parameters: Parameters<'a>,
    way: Way,
}

/// How a statement is sent.
#[derive(Clone, Copy)]
enum Way {
    /// Prepared, and kept so.
    Plain,
    /// Prepared, with the log position behind it.
    Position,
    /// As a reading statement; see `Oltp::read`.
    Read { kept: bool, personal: bool },
}

/// First wait before a statement is tried again; it doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The store. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Oltp {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) tokeniser: Tokeniser,
    pub(crate) meter: Meter,
    pub(crate) principals: Principals,
    pub(crate) slow: SlowLog,
    pub(crate) gather: Gather,
    pool: Pool,
}

/// Connections of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Most at a time.
    pub max: usize,
    /// Open ones.
    pub open: usize,
    /// Open ones that nobody uses.
    pub idle: usize,
    /// Commands that wait for one.
    pub waiting: usize,
}

/// Why a statement got no answer.
pub(crate) enum Trouble {
    /// The pool had no connection to give.
    Pool(String),
    /// There was no connection, or it ended before the statement was sent.
    Unsent(tokio_postgres::Error),
    /// The statement or the connection failed.
    Statement(tokio_postgres::Error),
}

impl Trouble {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Pool(_) => Failure::Transient,
            Self::Unsent(error) | Self::Statement(error) => error::failure(error),
        }
    }

    /// Whether the same statement may be sent again.
    fn again(&self, repeatable: bool) -> bool {
        let harmless = match self {
            // A full pool has waited already.
            Self::Pool(_) => false,
            Self::Unsent(_) => true,
            Self::Statement(error) => repeatable || !error::end_is_unknown(error),
        };
        harmless && self.failure() == Failure::Transient
    }

    /// SQLSTATE, or `connection` where the server said nothing.
    pub(crate) fn state(&self) -> String {
        let code = match self {
            Self::Pool(_) => None,
            Self::Unsent(error) | Self::Statement(error) => error.code(),
        };
        code.map_or("connection", |code| code.code()).to_owned()
    }

    pub(crate) fn outward(&self) -> OltpError {
        match self {
            Self::Pool(why) => OltpError::Unavailable(why.clone()),
            Self::Unsent(error) | Self::Statement(error) => error::outward(error),
        }
    }
}

impl Oltp {
    /// A store on a server; connects when first asked.
    ///
    /// # Errors
    /// [`OltpError::Internal`] when the pool cannot be built from the configuration.
    pub fn new(
        config: &Config,
        mut pg: tokio_postgres::Config,
        tokeniser: Tokeniser,
        meter: Meter,
    ) -> Result<Self, OltpError> {
        // JIT costs more than it gives on statements of some milliseconds; times are read back in UTC.
        let options = format!(
            "{} -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} -c timezone=UTC -c jit=off \
             -c search_path=crm",
            pg.get_options().unwrap_or(""),
            config.statement_timeout_ms,
            config.lock_timeout_ms,
            config.idle_in_transaction_timeout_ms
        );
        pg.options(options.trim());
        if pg.get_application_name().is_none() {
            pg.application_name("storewide");
        }
        if pg.get_connect_timeout().is_none() {
            pg.connect_timeout(Duration::from_secs(5));
        }
        let manager = Manager::from_config(pg, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(config.pool_size.max(1))
            .wait_timeout(Some(Duration::from_millis(config.pool_wait_ms)))
            .runtime(Runtime::Tokio1)
            // The one that was used last has its plans warm.
            .queue_mode(QueueMode::Lifo)
            .post_create(transaction_limit(config.transaction_timeout_ms))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(PLAIN).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| OltpError::Internal(format!("the pool cannot be built: {error}")))?;
        let (principals, slow) = (Principals::default(), SlowLog::new(config.slow_ms));
        let (config, gather) = (config.clone(), Gather::default());
        Ok(Self { inner: Arc::new(Inner { config, tokeniser, meter, principals, slow, gather, pool }) })
    }

    /// A connection, for statements of one's own.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when there is none in time.
    pub async fn client(&self) -> Result<Client, OltpError> {
        self.connection().await.map_err(|trouble| trouble.outward())
    }

    /// A connection of its own, outside the pool, with the rights of the schema's owner: for migrations and upkeep. It may pass the
    /// policies that keep personal data.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when there is none in time.
    pub async fn owner(&self) -> Result<deadpool_postgres::ClientWrapper, OltpError> {
        // What is set here must not reach whoever gets the connection next: it leaves the pool.
        let client = Client::take(self.client().await?);
        client.batch_execute("reset role").await.map_err(|error| error::outward(&error))?;
        Ok(client)
    }

    /// The log position up to which all that was committed before this call lies.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn position(&self) -> Result<Position, OltpError> {
        let rows = self.query(statement::POSITION, &[]).await?;
        let lsn: PgLsn =
            rows.first().map(|row| row.get(0)).ok_or_else(|| OltpError::Internal("no position".to_owned()))?;
        let position = Position::Wal(lsn.into());
        self.inner.meter.position(position.to_string());
        Ok(position)
    }

    /// Sends a statement that may be repeated until it is answered, a few times at most.
    pub(crate) async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, OltpError> {
        let sent = self.retrying(Sending { sql, parameters, way: Way::Plain }, true).await;
        sent.map(|(rows, _)| rows).map_err(|trouble| self.failed(&trouble))
    }

    /// Sends a reading statement whose parameters are texts. One that is kept stays prepared; any other is planned for its parameters.
    /// With `personal`, its transaction may read personal data.
    pub(crate) async fn read(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
        kept: bool,
        personal: bool,
    ) -> Result<Vec<Row>, OltpError> {
        let sent = self.retrying(Sending { sql, parameters, way: Way::Read { kept, personal } }, true).await;
        sent.map(|(rows, _)| rows).map_err(|trouble| self.failed(&trouble))
    }

    /// As [`Self::query`], with the log position after the statement's commit, in the same round trip. What may not be repeated is
    /// not sent again once it may be committed.
    pub(crate) async fn query_at(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        repeatable: bool,
    ) -> Result<(Vec<Row>, Position), Trouble> {
        self.retrying(Sending { sql, parameters, way: Way::Position }, repeatable).await
    }

    /// Counts a failure and says it outward.
    pub(crate) fn failed(&self, trouble: &Trouble) -> OltpError {
        let error = trouble.outward();
        self.inner.meter.failed(metrics::STATEMENT, &error.to_string());
        if let (OltpError::Internal(_), Trouble::Unsent(cause) | Trouble::Statement(cause)) = (&error, trouble) {
            let database = cause.as_db_error();
            // Message and place, never DETAIL: it quotes values.
            let message = database.map_or_else(|| cause.to_string(), |error| error.message().to_owned());
            let place = database.and_then(|error| error.where_()).unwrap_or("");
            tracing::error!(target: "oltp", message, place, "a statement failed");
        }
        error
    }

    /// What the pool is doing.
    pub(crate) fn pool(&self) -> PoolStatus {
        let status = self.inner.pool.status();
        PoolStatus { max: status.max_size, open: status.size, idle: status.available, waiting: status.waiting }
    }

    async fn connection(&self) -> Result<Client, Trouble> {
        let asked = Instant::now();
        let given = self.inner.pool.get().await;
        self.inner.meter.took(metrics::POOL_WAIT, asked.elapsed());
        given.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Trouble::Unsent(error),
            PoolError::Timeout(_) => Trouble::Pool("all connections are busy".to_owned()),
            other => Trouble::Pool(format!("no connection: {other}")),
        })
    }

    async fn retrying(&self, sending: Sending<'_>, repeatable: bool) -> Result<(Vec<Row>, Position), Trouble> {
        let mut wait = WAIT_FIRST;
        let mut left = self.inner.config.retries_max;
        loop {
            let trouble = match self.attempt(sending).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if !trouble.again(repeatable) || left == 0 {
                return Err(trouble);
            }
            self.inner.meter.count(metrics::RETRY, 1);
            tokio::time::sleep(wait).await;
            left -= 1;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn attempt(&self, sending: Sending<'_>) -> Result<(Vec<Row>, Position), Trouble> {
        let client = self.connection().await?;
        let started = Instant::now();
        let answer = ask(&client, sending).await;
        let took = started.elapsed();
        self.inner.meter.took(metrics::STATEMENT, took);
        if self.inner.slow.note(sending.sql, took, answer.as_ref().map(|(rows, _)| rows.len())) {
            self.inner.meter.count(metrics::SLOW, 1);
        }
        answer
    }
}

async fn ask(client: &Client, Sending { sql, parameters, way }: Sending<'_>) -> Result<(Vec<Row>, Position), Trouble> {
    match way {
        Way::Read { kept: false, personal } => {
            let typed: Vec<_> = parameters.iter().map(|parameter| (*parameter, Type::TEXT)).collect();
            let rows = within(client, personal, client.query_typed(sql, &typed)).await;
            Ok((rows.map_err(Trouble::Statement)?, Position::Wal(0)))
        }
        Way::Plain | Way::Read { kept: true, .. } => {
            let prepared = client.prepare_cached(sql).await.map_err(Trouble::Unsent)?;
            let personal = matches!(way, Way::Read { personal: true, .. });
            let rows = within(client, personal, client.query(&prepared, parameters)).await;
            Ok((rows.map_err(Trouble::Statement)?, Position::Wal(0)))
        }
        Way::Position => {
            let prepared = client.prepare_cached(sql).await.map_err(Trouble::Unsent)?;
            let behind = client.prepare_cached(statement::POSITION).await.map_err(Trouble::Unsent)?;
            // Both are sent before either is answered. The server takes the second after it has committed the first.
            let (rows, lsn) =
                futures_util::future::try_join(client.query(&prepared, parameters), client.query_one(&behind, &[]))
                    .await
                    .map_err(Trouble::Statement)?;
            let lsn: PgLsn = lsn.get(0);
            Ok((rows, Position::Wal(lsn.into())))
        }
    }
}

/// Runs a reading statement, where asked in a transaction that may read personal data, in the same round trip.
async fn within(
    client: &Client,
    personal: bool,
    reading: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if !personal {
        return reading.await;
    }
    // All are sent before any is answered, and the last is sent whatever becomes of the others: the connection must not go back with an
    // open transaction.
    let (open, rows, close) =
        futures_util::future::join3(client.batch_execute(PERSONAL), reading, client.batch_execute("commit")).await;
    open.and(rows).and_then(|rows| close.map(|()| rows))
}

/// Bounds whole transactions where the server can, from version 17 on; an older one refuses the setting, so that it cannot be among
/// those that a connection begins with.
fn transaction_limit(ms: u64) -> Hook {
    let set = format!("select set_config(name, '{ms}', false) from pg_settings where name = 'transaction_timeout'");
    Hook::async_fn(move |client, _| {
        let set = set.clone();
        Box::pin(async move { client.batch_execute(&set).await.map_err(HookError::Backend) })
    })
}
