//! What a demo ends with: what the doors accepted against what is served.

use super::driver::Account;
use crate::audit::Report as Audit;
use crate::client::Client;
use crate::house::House;
use crate::import::{Codes, Journey, Loaded};
use anyhow::{Context, Result};
use bus::TopicPartition;
use model::topic;
use serde::Serialize;
use serving::freshness::Percentiles;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait for decisions under way to end.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Rows a page.
const PAGE: u32 = 50_000;

/// The end of a demo.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) accepted: Counts,
    pub(super) served: Counts,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) refused: u64,
    pub(super) refusal: Option<String>,
    pub(super) freshness_ms: FreshnessMs,
    pub(super) tags_changed: i64,
    pub(super) intents: i64,
    pub(super) decisions: Decisions,
    pub(super) audit: AuditCounts,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) facts: u64,
    pub(super) events: u64,
}

/// From receipt to the row in SQL; and to the profile.
#[derive(Debug, Serialize)]
pub(super) struct FreshnessMs {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) profile: Percentiles,
}

#[derive(Debug, Serialize)]
pub(super) struct Decisions {
    pub(super) recommended: i64,
    pub(super) blocked: i64,
    pub(super) executed: i64,
    pub(super) outcomes: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct AuditCounts {
    pub(super) tables: usize,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) different: u64,
}

impl Report {
    /// Whether nothing was lost, doubled, refused or different.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        let audit = &self.audit;
        self.lost + self.duplicated + self.refused + audit.missing + audit.extra + audit.different == 0
    }
}

/// Waits until all is served, and compares.
pub async fn make(
    house: &House,
    client: &Client,
    account: &Account,
    run: &str,
    journey: &Journey,
    loaded: &Loaded,
) -> Result<Report> {
    let wal = account.wal.clone().max((!loaded.position.is_empty()).then(|| loaded.position.clone()));
    let mut check = Check { client, lost: 0, duplicated: 0 };
    let own = |column: &str| format!("starts_with({column}, '{run}-')");
    let events =
        check.served("events", "message_id", &own("message_id"), &account.events, account.events_position()).await?;
    let orders = check.served("orders", "order_no", &own("order_no"), &account.orders, wal.clone()).await?;
    let returns = check.served("returns", "return_no", &own("return_no"), &account.returns, wal.clone()).await?;
    let sample = check.sample(&journey.codes()?, wal.as_deref()).await?;
    // Not before everything is served: what comes late would be left out.
    let freshness = house.serving().freshness.summary();
    settle(client).await?;
    let number = |sql: &'static str| client.number(sql, None);
    let decisions = Decisions {
        recommended: number("select count(*) from decisions").await?,
        blocked: number("select count(*) from decisions where status = 'blocked'").await?,
        executed: number("select count(*) from decisions where status = 'executed'").await?,
        outcomes: number("select count(*) from outcomes").await?,
    };
    let intents = number("select count(*) from intents where status = 'fired'").await?;
    let audit: Audit = house.audit().await?;
    Ok(Report {
        accepted: Counts {
            facts: journey.records() + (account.orders.len() + account.returns.len()) as u64,
            events: account.events.len() as u64,
        },
        served: Counts { facts: sample + orders + returns, events },
        lost: check.lost,
        duplicated: check.duplicated,
        refused: account.refused,
        refusal: account.refusal.clone(),
        freshness_ms: FreshnessMs { p50: freshness.sql.p50_ms, p99: freshness.sql.p99_ms, profile: freshness.profile },
        tags_changed: written(house, topic::TAGS).await?,
        intents,
        decisions,
        audit: AuditCounts {
            tables: audit.tables,
            missing: audit.missing,
            extra: audit.extra,
            different: audit.different,
        },
    })
}

struct Check<'a> {
    client: &'a Client,
    lost: u64,
    duplicated: u64,
}

impl Check<'_> {
    /// Counts what is served of what was accepted; notes what is lost or doubled.
    async fn served(
        &mut self,
        table: &str,
        key: &str,
        condition: &str,
        accepted: &BTreeSet<String>,
        at_least: Option<String>,
    ) -> Result<u64> {
        let (mut found, mut after) = (0, String::new());
        let mut missing = accepted.clone();
        loop {
            let from = after.replace('\'', "''");
            let sql = format!(
                "select {key}, count(*) from {table} where {key} > '{from}' and {condition} group by 1 order by 1 limit {PAGE}"
            );
            let answer = self.client.sql(&sql, at_least.as_deref(), PAGE).await?;
            for row in &answer.rows {
                let id = row[0].as_str().unwrap_or_default();
                self.duplicated += row[1].as_u64().context("a count is a number")?.saturating_sub(1);
                found += u64::from(missing.remove(id));
                id.clone_into(&mut after);
            }
            if answer.rows.len() < PAGE as usize {
                self.lost += missing.len() as u64;
                return Ok(found);
            }
        }
    }

    /// Counts what is served of the sample. What others have sent beside it does not count.
    async fn sample(&mut self, codes: &Codes, at_least: Option<&str>) -> Result<u64> {
        let Codes { stores, products, members, orders } = codes;
        let mut served = 0;
        for (table, key, condition, accepted) in [
            ("stores", "store_code", "true", stores),
            ("products", "product_code", "true", products),
            ("skus", "sku_code", "true", products),
            ("members", "member_no", "true", members),
            ("orders", "order_no", "source = 'completejourney'", orders),
        ] {
            served += self.served(table, key, condition, accepted, at_least.map(str::to_owned)).await?;
        }
        Ok(served)
    }
}

/// Waits until no action is under way.
async fn settle(client: &Client) -> Result<()> {
    let start = tokio::time::Instant::now();
    while start.elapsed() < SETTLE_MAX {
        let open = client.number("select count(*) from decisions where status = 'executing'", None).await?;
        if open == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Records ever written to a topic.
async fn written(house: &House, topic: &str) -> Result<i64> {
    let bus = house.bus();
    let partitions = topic::all().into_iter().find(|(name, _)| name == topic).map_or(0, |(_, partitions)| partitions);
    let mut records = 0;
    for partition in 0..partitions {
        records += bus.watermarks(&TopicPartition::new(topic, partition)).await?.high;
    }
    Ok(records)
}
