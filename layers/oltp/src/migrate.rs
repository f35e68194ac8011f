//! Migrations: numbered SQL files, each applied once, in order, in a transaction of its own.

use crate::error::{self, OltpError};
use crate::pool::{Client, Oltp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Number, name and text of each migration. A released one never changes.
const MIGRATIONS: [(i32, &str, &str); 16] = [
    (1, "schema", include_str!("../migrations/0001_schema.sql")),
    (2, "records", include_str!("../migrations/0002_records.sql")),
    (3, "orders", include_str!("../migrations/0003_orders.sql")),
    (4, "decisions", include_str!("../migrations/0004_decisions.sql")),
    (5, "outcomes", include_str!("../migrations/0005_outcomes.sql")),
    (6, "run", include_str!("../migrations/0006_run.sql")),
    (
        7,
        "catalogue",
        concat!(include_str!("../migrations/0007_catalogue.sql"), include_str!("../migrations/0007_prices.sql")),
    ),
    (
        8,
        "inventory",
        concat!(include_str!("../migrations/0008_inventory.sql"), include_str!("../migrations/0008_reservations.sql")),
    ),
    (
        9,
        "orders",
        concat!(
            include_str!("../migrations/0009_partitions.sql"),
            include_str!("../migrations/0009_orders.sql"),
            include_str!("../migrations/0009_returns.sql")
        ),
    ),
    (10, "points", include_str!("../migrations/0010_points.sql")),
    (11, "members", include_str!("../migrations/0011_members.sql")),
    (12, "coupons", include_str!("../migrations/0012_coupons.sql")),
    (13, "service", include_str!("../migrations/0013_service.sql")),
    (14, "inbox", include_str!("../migrations/0014_inbox.sql")),
    (15, "keys", include_str!("../migrations/0015_keys.sql")),
    (16, "comments", include_str!("../migrations/0016_comments.sql")),
];

/// Number of the advisory lock that two starting processes meet at: "storewid" in ASCII.
const LOCK: i64 = 0x7374_6f72_6577_6964;

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

/// What a migration run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// Numbers that were applied now.
    pub applied: Vec<i32>,
    /// The version that the schema has now.
    pub version: i32,
    /// Which store this is: made with its schema, never changed. What was derived from one store is no use to another.
    pub deployment: Uuid,
}

impl Oltp {
    /// Brings the schema to this program's version. Safe to run from many processes at once.
    ///
    /// # Errors
    /// [`OltpError::Internal`] when the database was migrated by a newer program or a migration's text was changed after it was
    /// applied; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn migrate(&self) -> Result<MigrationReport, OltpError> {
        let client = self.client().await?;
        // The session's lock and search path must not reach whoever gets the connection next: it leaves the pool here.
        let mut client = Client::take(client);
        let fail = |error: tokio_postgres::Error| migration_error("book", &error);
        client.batch_execute("set statement_timeout = 0; set lock_timeout = 0").await.map_err(fail)?;
        client.execute("select pg_advisory_lock($1)", &[&LOCK]).await.map_err(fail)?;
        client.batch_execute(BOOK).await.map_err(fail)?;
        let rows = client.query("select version, checksum from storewide.migration order by version", &[]).await;
        let rows = rows.map_err(fail)?;
        let applied: Vec<(i32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        check(&applied)?;
        let deployment =
            client.query_one("select deployment_id from storewide.deployment", &[]).await.map_err(fail)?.get(0);
        let mut report = MigrationReport { applied: Vec::new(), version: MIGRATIONS.len() as i32, deployment };
        for (version, name, sql) in MIGRATIONS.iter().skip(applied.len()) {
            let fail = |error: tokio_postgres::Error| migration_error(name, &error);
            let transaction = client.transaction().await.map_err(fail)?;
            transaction.batch_execute(sql).await.map_err(fail)?;
            let book = "insert into storewide.migration (version, name, checksum) values ($1, $2, $3)";
            transaction.execute(book, &[version, name, &checksum(sql)]).await.map_err(fail)?;
            transaction.commit().await.map_err(fail)?;
            report.applied.push(*version);
        }
        Ok(report)
    }
}

/// Refuses a database that another program has brought further, or to somewhere else.
fn check(applied: &[(i32, String)]) -> Result<(), OltpError> {
    for (i, (version, sum)) in applied.iter().enumerate() {
        let Some((known, name, sql)) = MIGRATIONS.get(i).filter(|(known, ..)| known == version) else {
            return Err(OltpError::Internal(format!(
                "the database has migration {version}, which this program does not know; use the program that made it, or a newer one"
            )));
        };
        if checksum(sql) != *sum {
            return Err(OltpError::Internal(format!(
                "migration {known} ({name}) was changed after it was applied; a changed schema needs a new migration"
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
