//! What the demo says to whoever watches it.

use super::driver::Counts;
use super::report::Report;
use crate::client::Client;
use anyhow::Result;
use indicatif::HumanCount;
use serving::freshness::Summary;
use std::fmt::Write as _;
use std::time::Duration;

/// Decisions so far.
const DECISIONS: &str =
    "select count(*) filter (where status = 'executed'), count(*) filter (where status = 'blocked'),
    count(*) filter (where outcome = 'purchase') from decisions";

/// One line on how it goes: what was accepted and served since the shoppers came, and what was decided.
pub(super) async fn progress(
    client: &Client,
    run: &str,
    since: Duration,
    counts: Counts,
    freshness: Summary,
) -> Result<String> {
    let seen = format!(
        "select (select count(*) from events where starts_with(message_id, '{run}-'))
            + (select count(*) from orders where starts_with(order_no, '{run}-'))
            + (select count(*) from returns where starts_with(return_no, '{run}-'))"
    );
    let served = client.number(&seen, None).await?.unsigned_abs();
    let decided = client.sql(DECISIONS, None, 1).await?;
    let decided = |column: usize| {
        let cell = decided.rows.first().and_then(|row| row.get(column));
        HumanCount(cell.and_then(|cell| cell.as_u64().or_else(|| cell.as_str()?.parse().ok())).unwrap_or(0))
    };
    let seconds = since.as_secs();
    let mut line = format!(
        "{:02}:{:02}  {} events, {} orders, {} returns accepted · {} served · {} reminders sent, {} bought, {} blocked",
        seconds / 60,
        seconds % 60,
        HumanCount(counts.events),
        HumanCount(counts.orders),
        HumanCount(counts.returns),
        HumanCount(served),
        decided(0),
        decided(2),
        decided(1),
    );
    if freshness.sql.samples > 0 {
        // Writing to a String cannot fail.
        let _ = write!(line, " · seen in SQL after {:.0} ms", freshness.sql.p50_ms);
    }
    if counts.refused > 0 {
        let _ = write!(line, " · {} REFUSED", HumanCount(counts.refused));
    }
    Ok(line)
}

/// The end of a demo, for people.
pub(super) fn report(report: &Report) -> String {
    let Report { accepted, served, freshness_ms, decisions, audit, .. } = report;
    let of = |number: u64| HumanCount(number).to_string();
    let signed = |number: i64| of(number.unsigned_abs());
    let mut lines = vec![
        format!("{:<32}{:>12}{:>12}", "", "accepted", "served"),
        format!("{:<32}{:>12}{:>12}", "  business facts, sample included", of(accepted.facts), of(served.facts)),
        format!("{:<32}{:>12}{:>12}", "  behaviour events", of(accepted.events), of(served.events)),
        format!("  lost {}, doubled {}, refused {}", of(report.lost), of(report.duplicated), of(report.refused)),
        format!("  seen in SQL after      {:.0} ms (99 of 100 within {:.0} ms)", freshness_ms.p50, freshness_ms.p99),
        format!(
            "  seen in the profile    {:.0} ms (99 of 100 within {:.0} ms)",
            freshness_ms.profile.p50_ms, freshness_ms.profile.p99_ms
        ),
        format!("  tags changed           {}", signed(report.tags_changed)),
        format!("  carts abandoned        {}", signed(report.intents)),
        format!(
            "  decisions              {}: {} carried out, {} blocked by a guardrail; {} outcomes known",
            signed(decisions.recommended),
            signed(decisions.executed),
            signed(decisions.blocked),
            signed(decisions.outcomes)
        ),
        format!(
            "  audit, row by row      {} tables: {} missing, {} extra, {} different",
            audit.tables,
            of(audit.missing),
            of(audit.extra),
            of(audit.different)
        ),
    ];
    if let Some(refusal) = &report.refusal {
        lines.push(format!("  first refusal          {refusal}"));
    }
    lines.push(
        if report.is_good() {
            "Good: nothing was lost, doubled or different."
        } else {
            "NOT GOOD: something was lost, doubled, refused or different."
        }
        .to_owned(),
    );
    lines.join("\n")
}
