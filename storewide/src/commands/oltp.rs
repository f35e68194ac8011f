//! `oltp`: looking after the store.

use super::output::print;
use super::session::Session;
use super::table::table;
use crate::cli::{Engines, Oltp, OltpAction, Server};
use crate::datadir::DataDir;
use crate::settings::Settings;
use crate::store::Store;
use anyhow::{Result, bail};
use oltp::{Change, MigrationReport, PartitionSize, SchemaState, Status, TableHealth};
use reqwest::Method;
use runtime::config::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Runs `oltp`.
///
/// # Errors
/// When neither a server nor the store is found, or it refuses.
pub async fn oltp(options: &Oltp, config: &Config, data_dir: &Path) -> Result<ExitCode> {
    let place = Place { server: &options.server, config, data_dir };
    match &options.action {
        OltpAction::Status { json } => {
            let status: Status = place.look("status", async |store| Ok(store.oltp.status().await?)).await?;
            tell(*json, &status, || show_status(&status))?;
        }
        OltpAction::VacuumReport { json } => {
            let tables: Vec<TableHealth> =
                place.look("vacuum", async |store| Ok(store.oltp.vacuum_report().await?)).await?;
            tell(*json, &json!({ "tables": tables }), || show_vacuum(&tables))?;
        }
        OltpAction::Migrate { dry_run: true, json } => {
            let schema = place.store().await?.run(async |store| Ok(store.oltp.schema().await?)).await?;
            tell(*json, &schema, || show_schema(&schema))?;
        }
        OltpAction::Migrate { dry_run: false, json } => {
            let report = place.store().await?.run(async |store| Ok(store.oltp.migrate().await?)).await?;
            tell(*json, &report, || show_report(&report))?;
        }
        OltpAction::Partitions { make, drop_older_than, table, json } => {
            let drop =
                drop_older_than.zip(table.clone()).map(|(keep_months, table)| Change::Drop { table, keep_months });
            let change = make.map(|months| Change::Make { months }).or(drop);
            if let Some(change) = change {
                let changed =
                    place.store().await?.run(async |store| Ok(store.oltp.change_partitions(&change).await?)).await?;
                eprintln!("{changed} partitions {}", if make.is_some() { "made" } else { "dropped" });
            }
            let all: Vec<PartitionSize> =
                place.look("partitions", async |store| Ok(store.oltp.partition_sizes().await?)).await?;
            tell(*json, &json!({ "partitions": all }), || show_partitions(&all))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the store is.
struct Place<'a> {
    server: &'a Server,
    config: &'a Config,
    data_dir: &'a Path,
}

impl Place<'_> {
    /// Asks the server that runs, which knows its own pool and statements too, or else the store by itself.
    async fn look<T: DeserializeOwned>(
        &self,
        what: &str,
        by_itself: impl AsyncFnOnce(&Store) -> Result<T>,
    ) -> Result<T> {
        let runs = || DataDir::existing(self.data_dir).is_ok_and(|data| data.running().is_some());
        if self.server.server.is_none() && !runs() {
            return self.store().await?.run(by_itself).await;
        }
        let session = Session::open(self.server, self.config, self.data_dir).await?;
        let path = format!("/api/v1/oltp/{what}");
        let answer = session.run(async |client| client.send(client.request(Method::GET, &path)).await).await?;
        Ok(serde_json::from_value(answer)?)
    }

    async fn store(&self) -> Result<Store> {
        if self.server.server.is_some() {
            bail!(
                "a server does not do this to its own store; name the data directory, or the PostgreSQL server with --pg-url"
            );
        }
        let data = match &self.server.pg_url {
            // A server of its own needs no directory that was served before.
            Some(_) => DataDir::open(self.data_dir)?,
            None => DataDir::existing(self.data_dir)?,
        };
        let engines = Engines { pg_url: self.server.pg_url.clone(), ..Engines::default() };
        Store::open(&Settings::read(self.config, data, &engines)?).await
    }
}

fn tell(json: bool, facts: &impl Serialize, show: impl FnOnce() -> String) -> Result<()> {
    Ok(print(&if json { serde_json::to_string(facts)? } else { show() })?)
}

/// Bytes for people.
fn size(bytes: impl Into<Option<i64>>) -> String {
    let Some(bytes) = bytes.into() else { return "locked".to_owned() };
    indicatif::HumanBytes(bytes.unsigned_abs()).to_string()
}

fn show_schema(schema: &SchemaState) -> String {
    let mut lines = vec![format!("schema {} of {}", schema.version, schema.program)];
    lines.extend(schema.pending.iter().map(|pending| {
        let how = if pending.concurrently { " (beside writers)" } else { "" };
        format!("pending: {:04}_{}{how}", pending.version, pending.name)
    }));
    lines.join("\n")
}

fn show_report(report: &MigrationReport) -> String {
    match report.applied.len() {
        0 => format!("nothing to do: the schema is at {}", report.version),
        count => format!("{count} migrations applied: the schema is at {}", report.version),
    }
}

fn show_status(status: &Status) -> String {
    let server = &status.server;
    let deployment = status.schema.deployment.map_or_else(|| "none yet".to_owned(), |id| id.to_string());
    let mut lines = vec![
        format!("PostgreSQL {}, up since {:.0}, store {deployment}", server.version, server.started_at),
        show_schema(&status.schema),
        format!(
            "database {}, log {}",
            size(server.database_bytes),
            status.wal_bytes.map_or_else(|| "unknown".to_owned(), size)
        ),
        format!(
            "connections {} of {}, {} active, {} idle in a transaction; pool {} of {}, {} idle, {} waiting",
            server.connections.total,
            server.connections.max,
            server.connections.active,
            server.connections.idle_in_transaction,
            status.pool.open,
            status.pool.max,
            status.pool.idle,
            status.pool.waiting
        ),
        match &status.archived_to {
            Some(to) => {
                format!("log archived up to {to}, at {} now; {} failures", status.position, server.archive.failed)
            }
            None => format!("log archive {}, at {} now", server.archive.mode, status.position),
        },
    ];
    lines.extend(show_standing(status));
    let rows: Vec<Vec<String>> = server
        .tables
        .iter()
        .take(15)
        .map(|of| {
            let vacuumed = of.last_autovacuum.map_or_else(String::new, |at| format!("{at:.0}"));
            vec![of.table.clone(), size(of.bytes), size(of.index_bytes), of.rows.to_string(), vacuumed]
        })
        .collect();
    lines.push(table(&["table", "size", "indexes", "rows", "last autovacuum"], &rows));
    match status.findings.as_slice() {
        [] => lines.push("all is well".to_owned()),
        findings => lines.extend(findings.iter().map(|text| format!("! {text}"))),
    }
    lines.join("\n")
}

/// What holds others up, or took long.
fn show_standing(status: &Status) -> Vec<String> {
    let server = &status.server;
    let mut lines = Vec::new();
    let slots = server.replication_slots.iter().map(|slot| {
        let reader = if slot.active { "read" } else { "not read" };
        let of = |bytes: Option<i64>| bytes.map_or_else(|| "unknown".to_owned(), size);
        format!(
            "slot {} {reader}, {}: {} kept, {} to confirm",
            slot.name,
            slot.wal_status,
            of(slot.retained_bytes),
            of(slot.unconfirmed_bytes)
        )
    });
    lines.extend(slots);
    let open = server.long_transactions.iter();
    lines.extend(open.map(|open| {
        format!("transaction of {} ({}) open for {} s, {}", open.pid, open.application, open.seconds, open.state)
    }));
    let waits = server.lock_waits.iter();
    lines.extend(waits.map(|wait| {
        format!(
            "process {} ({}) waits {} s for {} ({}), held by {:?}",
            wait.pid, wait.application, wait.seconds, wait.waits_for, wait.mode, wait.blocked_by
        )
    }));
    let slow = status.slow.iter().take(10);
    lines.extend(slow.map(|slow| {
        let failure = slow.failure.as_deref().map_or_else(String::new, |state| format!(", failed with {state}"));
        format!("slow: {} took {} ms, {} rows, at {:.0}{failure}", slow.statement, slow.ms, slow.rows, slow.at)
    }));
    lines
}

fn show_vacuum(tables: &[TableHealth]) -> String {
    let rows: Vec<Vec<String>> = tables
        .iter()
        .map(|of| {
            let last = of.last_vacuum.map_or_else(String::new, |at| format!("{at:.0}"));
            let advice = of.advice.clone().unwrap_or_default();
            vec![
                of.table.clone(),
                of.live.to_string(),
                of.dead.to_string(),
                size(of.bytes),
                size(of.bloat_bytes),
                of.frozen_xid_age.to_string(),
                last,
                advice,
            ]
        })
        .collect();
    table(&["table", "rows", "dead", "size", "bloat", "xid age", "last vacuum", "what to do"], &rows)
}

fn show_partitions(all: &[PartitionSize]) -> String {
    let row = |of: &PartitionSize| {
        vec![of.table.clone(), of.partition.clone(), of.rows.to_string(), size(of.bytes), of.bounds.clone()]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table(&["table", "partition", "rows", "size", "holds"], &rows)
}
