//! Migrations: numbered SQL files, each applied once, in order; in a transaction of its own, unless it says `-- concurrently`.
//!
//! None stands in the way of traffic: one that does not get its locks soon lets go, so that those behind it in the queue come
//! through, and tries again.

use crate::error::{self, OltpError};
use crate::online::{is_concurrent, statements};
use crate::pool::Oltp;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// A step of the schema. A released one never changes.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number, from 1 on without a gap.
    pub version: i32,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

const fn step(version: i32, name: &'static str, sql: &'static str) -> Migration {
    Migration { version, name, sql }
}

/// All of this program.
pub const MIGRATIONS: [Migration; 28] = [
    step(1, "schema", include_str!("../migrations/0001_schema.sql")),
    step(2, "records", include_str!("../migrations/0002_records.sql")),
    step(3, "orders", include_str!("../migrations/0003_orders.sql")),
    step(4, "decisions", include_str!("../migrations/0004_decisions.sql")),
    step(5, "outcomes", include_str!("../migrations/0005_outcomes.sql")),
    step(6, "run", include_str!("../migrations/0006_run.sql")),
    step(7, "catalogue", include_str!("../migrations/0007_catalogue.sql")),
    step(8, "prices", include_str!("../migrations/0008_prices.sql")),
    step(9, "inventory", include_str!("../migrations/0009_inventory.sql")),
    step(10, "reservations", include_str!("../migrations/0010_reservations.sql")),
    step(11, "partitions", include_str!("../migrations/0011_partitions.sql")),
    step(12, "order_life", include_str!("../migrations/0012_order_life.sql")),
    step(13, "return_life", include_str!("../migrations/0013_return_life.sql")),
    step(14, "points", include_str!("../migrations/0014_points.sql")),
    step(15, "members", include_str!("../migrations/0015_members.sql")),
    step(16, "tiers", include_str!("../migrations/0016_tiers.sql")),
    step(17, "merges", include_str!("../migrations/0017_merges.sql")),
    step(18, "coupons", include_str!("../migrations/0018_coupons.sql")),
    step(19, "coupon_commands", include_str!("../migrations/0019_coupon_commands.sql")),
    step(20, "service", include_str!("../migrations/0020_service.sql")),
    step(21, "inbox", include_str!("../migrations/0021_inbox.sql")),
    step(22, "keys", include_str!("../migrations/0022_keys.sql")),
    step(23, "points_commands", include_str!("../migrations/0023_points_commands.sql")),
    step(24, "comments", include_str!("../migrations/0024_comments.sql")),
    step(25, "fewer_starts", include_str!("../migrations/0025_fewer_starts.sql")),
    step(26, "addresses", include_str!("../migrations/0026_addresses.sql")),
    step(27, "addresses_checked", include_str!("../migrations/0027_addresses_checked.sql")),
    step(28, "order_addresses", include_str!("../migrations/0028_order_addresses.sql")),
];

/// Number of the advisory lock that two starting processes meet at: "storewid" in ASCII.
const LOCK: i64 = 0x7374_6f72_6577_6964;
/// How often the lock is tried for. Waiting in the server would hold a snapshot, which an index that is built concurrently waits for.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// How often a migration tries for its locks, and how long it leaves the way free after the first and after later times.
const TRIES: u32 = 40;
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

const BOOK: &str = "create schema if not exists storewide;
    create table if not exists storewide.migration (
        version int primary key,
        name text not null,
        checksum text not null,
        applied_at timestamptz not null default now()
    );
    create table if not exists storewide.deployment (
        single boolean primary key default true check (single),
        deployment_id uuid not null
    );
    insert into storewide.deployment (deployment_id) values (gen_random_uuid()) on conflict do nothing";

/// A migration has all the time that it needs once it has its locks.
const WITHOUT_LIMITS: &str =
    "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
    select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'";

/// What a migration run did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationReport {
    /// Numbers that were applied now.
    pub applied: Vec<i32>,
    /// The version that the schema has now.
    pub version: i32,
    /// Which store this is: made with its schema, renewed only by a restore. What was derived from one store is no use to another.
    pub deployment: Uuid,
}

/// How far a schema is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaState {
    /// The version that the schema has; 0 when there is none yet.
    pub version: i32,
    /// The version that this program brings it to.
    pub program: i32,
    /// What is between the two, in order.
    pub pending: Vec<Pending>,
    /// Which store this is; none before the first migration.
    pub deployment: Option<Uuid>,
}

/// A migration that is not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number.
    pub version: i32,
    /// Its name.
    pub name: String,
    /// Whether it runs beside writers, outside a transaction.
    pub concurrently: bool,
}

impl Oltp {
    /// How far the schema is; changes nothing.
    ///
    /// # Errors
    /// As [`Oltp::migrate`].
    pub async fn schema(&self) -> Result<SchemaState, OltpError> {
        let client = self.client().await?;
        let fail = |error: tokio_postgres::Error| migration_error("book", &error);
        let book = "select to_regclass('storewide.migration') is not null";
        let (mut applied, mut deployment) = (Vec::new(), None);
        if client.query_one(book, &[]).await.map_err(fail)?.get(0) {
            applied = read_book(&client).await?;
            let row = client.query_opt("select deployment_id from storewide.deployment", &[]).await.map_err(fail)?;
            deployment = row.map(|row| row.get(0));
        }
        check(&MIGRATIONS, &applied)?;
        let pending = MIGRATIONS.iter().skip(applied.len()).map(|migration| Pending {
            version: migration.version,
            name: migration.name.to_owned(),
            concurrently: is_concurrent(migration.sql),
        });
        let pending = pending.collect();
        Ok(SchemaState { version: applied.len() as i32, program: MIGRATIONS.len() as i32, pending, deployment })
    }

    /// Brings the schema to this program's version. Safe to run from many processes at once, and beside traffic.
    ///
    /// # Errors
    /// [`OltpError::Internal`] when the database was migrated by a newer program or a migration's text was changed after it was
    /// applied; [`OltpError::Unavailable`] when the server does not answer, or others hold what a migration has to lock.
    pub async fn migrate(&self) -> Result<MigrationReport, OltpError> {
        self.migrate_to(&MIGRATIONS).await
    }

    /// Brings the schema to the end of a list of migrations.
    ///
    /// # Errors
    /// As [`Oltp::migrate`].
    pub async fn migrate_to(&self, list: &[Migration]) -> Result<MigrationReport, OltpError> {
        let mut client = self.owner().await?;
        let fail = |error: tokio_postgres::Error| migration_error("book", &error);
        client.batch_execute(WITHOUT_LIMITS).await.map_err(fail)?;
        while !client.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(fail)?.get::<_, bool>(0) {
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        client.batch_execute(BOOK).await.map_err(fail)?;
        let applied = read_book(&client).await?;
        check(list, &applied)?;
        let deployment =
            client.query_one("select deployment_id from storewide.deployment", &[]).await.map_err(fail)?.get(0);
        let mut report = MigrationReport { applied: Vec::new(), version: list.len() as i32, deployment };
        for migration in list.iter().skip(applied.len()) {
            if is_concurrent(migration.sql) {
                beside_writers(&client, migration).await.map_err(|error| migration_error(migration.name, &error))?;
            } else {
                patiently(&mut client, migration, self.inner.config.migration_lock_ms).await?;
            }
            tracing::info!(target: "oltp", version = migration.version, name = migration.name, "migrated");
            report.applied.push(migration.version);
        }
        Ok(report)
    }

    /// Gives the store a new id, since it went back in time: what was derived from it before is about another course of events. Also
    /// tells when the last transaction was committed that PostgreSQL recovered from its log, if there was one.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer; [`OltpError::Internal`] when there is no schema.
    pub async fn renew_deployment(&self) -> Result<(Uuid, Option<Timestamp>), OltpError> {
        let client = self.owner().await?;
        let sql = "update storewide.deployment set deployment_id = gen_random_uuid() returning deployment_id, pg_last_xact_replay_timestamp()";
        let row = client.query_one(sql, &[]).await.map_err(|error| migration_error("book", &error))?;
        Ok((row.get(0), row.get(1)))
    }
}

async fn read_book(client: &tokio_postgres::Client) -> Result<Vec<(i32, String)>, OltpError> {
    let rows = client.query("select version, checksum from storewide.migration order by version", &[]).await;
    let rows = rows.map_err(|error| migration_error("book", &error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Applies a migration in a transaction; whenever its locks are taken, it lets go and tries again later.
async fn patiently(client: &mut tokio_postgres::Client, migration: &Migration, lock_ms: u64) -> Result<(), OltpError> {
    let (mut tries, mut pause) = (1, PAUSE.0);
    loop {
        let error = match at_once(client, migration, lock_ms).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED)) {
            return Err(migration_error(migration.name, &error));
        }
        if tries == TRIES {
            return Err(OltpError::Unavailable(format!(
                "migration `{}` did not get its locks in {TRIES} tries; `storewide oltp status` shows long transactions",
                migration.name
            )));
        }
        tracing::info!(target: "oltp", name = migration.name, "others hold what the migration has to lock; it tries again");
        tokio::time::sleep(pause).await;
        (tries, pause) = (tries + 1, (pause * 2).min(PAUSE.1));
    }
}

async fn at_once(
    client: &mut tokio_postgres::Client,
    migration: &Migration,
    lock_ms: u64,
) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("set local lock_timeout = {lock_ms}")).await?;
    transaction.batch_execute(migration.sql).await?;
    transaction.execute(ENTRY, &[&migration.version, &migration.name, &checksum(migration.sql)]).await?;
    transaction.commit().await
}

const ENTRY: &str = "insert into storewide.migration (version, name, checksum) values ($1, $2, $3)";

/// Indexes of ours that a build which was cut short has left behind: they cost writes, and `if not exists` finds them.
const TORN: &str =
    "select i.indexrelid::regclass::text, c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
    join pg_namespace n on n.oid = c.relnamespace where not i.indisvalid and c.relkind = 'i' and n.nspname = 'crm'";

/// Applies a migration statement by statement. It locks nobody out, so it waits for the transactions before it as long as they take.
async fn beside_writers(client: &tokio_postgres::Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let statements = statements(migration.sql);
    for torn in client.query(TORN, &[]).await? {
        let (index, name): (String, String) = (torn.get(0), torn.get(1));
        if statements.iter().any(|statement| statement.split_whitespace().any(|word| word.ends_with(&name))) {
            client.batch_execute(&format!("drop index concurrently if exists {index}")).await?;
        }
    }
    for statement in &statements {
        client.batch_execute(statement).await?;
    }
    client.execute(ENTRY, &[&migration.version, &migration.name, &checksum(migration.sql)]).await?;
    Ok(())
}

/// Refuses a database that another program has brought further, or to somewhere else.
fn check(list: &[Migration], applied: &[(i32, String)]) -> Result<(), OltpError> {
    for (i, (version, sum)) in applied.iter().enumerate() {
        let Some(known) = list.get(i).filter(|known| known.version == *version) else {
            return Err(OltpError::Internal(format!(
                "the database has migration {version}, which this program does not know; use the program that made it, or a newer one"
            )));
        };
        if checksum(known.sql) != *sum {
            return Err(OltpError::Internal(format!(
                "migration {} ({}) was changed after it was applied; a changed schema needs a new migration",
                known.version, known.name
            )));
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(sql))
}

fn migration_error(name: &str, error: &tokio_postgres::Error) -> OltpError {
    match error::outward(error) {
        unavailable @ OltpError::Unavailable(_) => unavailable,
        // Migrations hold no values of anybody: the message may be told.
        _ => OltpError::Internal(format!(
            "migration `{name}`: {}",
            error.as_db_error().map_or("", |error| error.message())
        )),
    }
}
