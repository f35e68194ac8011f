//! What the first page shows.

use super::Parts;
use async_trait::async_trait;
use console::{About, DecisionLine, Facts, Freshness, Quantiles};
use model::Timestamp;
use runtime::LayerStatus;
use serde_json::Value;
use serving::Limits;
use serving::freshness::Percentiles;
use std::time::Duration;

/// Longest time that the page waits for the decisions.
const DECISIONS_TIME_MAX: Duration = Duration::from_secs(2);

pub(super) struct HouseFacts {
    parts: Parts,
    started_at: Timestamp,
}

impl HouseFacts {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, started_at: Timestamp::now() }
    }
}

#[async_trait]
impl Facts for HouseFacts {
    fn about(&self) -> About {
        About { version: env!("CARGO_PKG_VERSION").to_owned(), started_at: self.started_at }
    }

    fn layers(&self) -> Vec<LayerStatus> {
        self.parts.telemetry.status()
    }

    async fn decisions(&self, limit: usize) -> Result<Vec<DecisionLine>, String> {
        // The newest of the last hour, but no more than a few of a kind: a guardrail that stops many would hide all others.
        let sql = "select d.person, coalesce(i.intent, ''), d.playbook, d.channel, d.status, d.blocked_by, d.outcome,
                epoch_us(d.recommended_at)
            from decisions d left join intents i on i.intent_id = d.intent_id
            where d.recommended_at > (select max(recommended_at) from decisions) - interval 1 hour
            qualify row_number() over (partition by d.status, d.blocked_by order by d.recommended_at desc) <= 5
            order by d.recommended_at desc";
        let config = &self.parts.serving.config;
        let limits = Limits { time: DECISIONS_TIME_MAX, ..Limits::new(config, Some(limit), None) };
        let answer =
            self.parts.serving.analytics.query(sql, Vec::new(), limits).await.map_err(|error| error.to_string())?;
        Ok(answer.rows.iter().map(|row| line(row)).collect())
    }

    async fn freshness(&self) -> Option<Freshness> {
        let summary = self.parts.serving.freshness.summary();
        let as_of = self.parts.serving.analytics_progress.as_of().complete_to;
        let some = |of: Percentiles| (of.samples > 0).then_some(Quantiles { p50_ms: of.p50_ms, p99_ms: of.p99_ms });
        Some(Freshness { profile: some(summary.profile), sql: some(summary.sql), as_of })
    }

    fn openapi(&self) -> Value {
        serde_json::to_value(super::doors::openapi()).unwrap_or_default()
    }
}

fn line(row: &[Value]) -> DecisionLine {
    let text = |column: usize| row[column].as_str().map(str::to_owned);
    let micros = row[7].as_i64().or_else(|| row[7].as_str()?.parse().ok()).unwrap_or(0);
    DecisionLine {
        person: text(0).unwrap_or_default(),
        intent: text(1).unwrap_or_default(),
        playbook: text(2).unwrap_or_default(),
        channel: text(3).unwrap_or_default(),
        status: text(4).unwrap_or_default(),
        blocked_by: text(5),
        outcome: text(6),
        at: Timestamp::from_microsecond(micros).unwrap_or_default(),
    }
}
