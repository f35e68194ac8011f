//! From due actions to deliveries. An action is leased, sent and recorded; whoever dies in between loses the lease, and the next
//! attempt carries the same id, by which the receiver knows a repeat.

use crate::guardrails::{self, Policy};
use crate::recommend::contacts_since;
use crate::run::{Shared, later};
use crate::webhook::{Meaning, Sender};
use crate::{DecisionsError, backoff, metrics};
use futures_util::future::join_all;
use model::Timestamp;
use oltp::decision::{Attempt, DueAction, Next};
use std::time::{Duration, Instant};

/// How long a lease outlives the longest attempt: time to record its end, also while the database restarts.
const LEASE_MARGIN: Duration = Duration::from_secs(25);

pub(crate) async fn run(shared: &Shared) -> Result<(), DecisionsError> {
    let timeout = Duration::from_millis(shared.config.timeout_ms);
    let Some(target) = shared.config.target()? else {
        tracing::warn!(target: "decisions", "decisions.webhook_url is not set: actions stay pending");
        shared.meter.position("decisions.webhook_url is not set: actions stay pending");
        shared.stop.cancelled().await;
        return Ok(());
    };
    let sender = Sender::new(target, timeout)?;
    while !shared.stop.is_cancelled() {
        let now = shared.clock.now();
        let until = later(now, timeout + LEASE_MARGIN);
        let due = shared.oltp.due_actions(now, until, shared.config.in_flight_max).await?;
        if due.is_empty() {
            shared.idle(true).await;
            continue;
        }
        let recorded = join_all(due.iter().map(|action| one(shared, &sender, action))).await;
        recorded.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

async fn one(shared: &Shared, sender: &Sender, due: &DueAction) -> Result<(), DecisionsError> {
    let now = shared.clock.now();
    let attempt = match withheld(shared, due, now).await? {
        Some(why) => {
            shared.meter.count(metrics::WITHHELD, 1);
            Attempt { status_code: None, error: Some(why), next: Next::Failed, at: now }
        }
        None => send(shared, sender, due, now).await,
    };
    let delivered = attempt.next == Next::Delivered;
    if shared.oltp.record_delivery(due.action_id, due.attempt, &attempt).await? {
        match attempt.next {
            Next::Delivered => shared.meter.handled(metrics::EXECUTED, 1),
            Next::RetryAt(_) => shared.meter.failed(metrics::RETRIED, attempt.error.as_deref().unwrap_or_default()),
            Next::Failed => shared.meter.failed(metrics::GIVEN_UP, attempt.error.as_deref().unwrap_or_default()),
        }
    }
    if delivered {
        // An order may have been quicker than this record.
        let changed = shared.oltp.settle_outcomes(&[due.action_id], shared.clock.now()).await?;
        shared.meter.count(metrics::OUTCOME, changed);
    }
    Ok(())
}

/// Why an action must not be sent any more: what was allowed when it was recommended may be denied by the time it is sent.
async fn withheld(shared: &Shared, due: &DueAction, now: Timestamp) -> Result<Option<String>, DecisionsError> {
    let Some(playbook) = shared.playbooks.iter().find(|playbook| playbook.name == due.playbook) else {
        return Ok(Some("not sent: the playbook is no longer there".to_owned()));
    };
    let Some(member) = due.member_id else {
        return Ok(Some("not sent: the action has no member".to_owned()));
    };
    let since = contacts_since(playbook, now);
    let facts = shared.oltp.guardrail_facts(member, &playbook.purpose, &due.channel, since).await?;
    let policy = Policy { channel: due.channel.clone(), ..Policy::at_attempt(playbook) };
    let denied = guardrails::evaluate(&facts, &policy, now).into_iter().find(|verdict| !verdict.allow);
    Ok(denied.map(|verdict| format!("not sent: {}: {}", verdict.guardrail, verdict.reason)))
}

async fn send(shared: &Shared, sender: &Sender, due: &DueAction, now: Timestamp) -> Attempt {
    let begun = Instant::now();
    let answer = sender.send(due.action_id, due.payload.to_string().into_bytes(), now).await;
    shared.meter.took(metrics::ATTEMPT, begun.elapsed());
    let number = u32::try_from(due.attempt).unwrap_or(1);
    let (error, next) = match answer.meaning {
        Meaning::Delivered => (None, Next::Delivered),
        Meaning::Refused { why } => (Some(why), Next::Failed),
        Meaning::Again { why, .. } if number >= shared.config.attempts_max => {
            (Some(format!("{why}; given up after {number} attempts")), Next::Failed)
        }
        Meaning::Again { why, asked } => {
            let first = Duration::from_millis(shared.config.backoff_ms);
            let wait = backoff::wait(first, due.action_id.0, number, asked);
            (Some(why), Next::RetryAt(later(shared.clock.now(), wait)))
        }
    };
    // The time of sending: a purchase may follow before the answer is here.
    Attempt { status_code: answer.status.map(i32::from), error, next, at: now }
}
