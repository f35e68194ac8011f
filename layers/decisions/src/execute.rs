//! From due actions to deliveries. An action is leased, sent and recorded; whoever dies in between loses the lease, and the next
//! attempt carries the same id, by which the receiver knows a repeat.

use crate::guardrails::{self, Policy};
use crate::recommend::contacts_since;
use crate::run::{Shared, later};
use crate::webhook::{Answer, Meaning, Sender};
use crate::{DecisionsError, backoff, metrics};
use model::Timestamp;
use oltp::decision::{Attempt, DueAction, Next};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long a lease outlives the longest attempt: time to record its end, also while the database restarts.
const LEASE_MARGIN: Duration = Duration::from_secs(25);

pub(crate) async fn run(shared: &Arc<Shared>) -> Result<(), DecisionsError> {
    let Some(target) = shared.config.target()? else {
        tracing::warn!(target: "decisions", "decisions.webhook_url is not set: actions stay pending");
        shared.stop.cancelled().await;
        return Ok(());
    };
    let sender = Arc::new(Sender::new(target, timeout(shared))?);
    let mut attempts = JoinSet::new();
    let ended = start_all(shared, &sender, &mut attempts).await;
    // What was sent is recorded, whatever ended the leasing.
    while let Some(attempt) = attempts.join_next().await {
        went_through(attempt);
    }
    ended
}

fn timeout(shared: &Shared) -> Duration {
    Duration::from_millis(shared.config.timeout_ms)
}

/// Starts an attempt for each action that is due. Only so many are leased as have a place, and each place is given on as soon as
/// its attempt ends: a receiver that is slow for one holds up nobody else, and no lease runs out while it waits for its turn.
async fn start_all(
    shared: &Arc<Shared>,
    sender: &Arc<Sender>,
    attempts: &mut JoinSet<()>,
) -> Result<(), DecisionsError> {
    let places = shared.config.in_flight_max as usize;
    while !shared.stop.is_cancelled() {
        if attempts.len() == places
            && let Some(attempt) = attempts.join_next().await
        {
            went_through(attempt);
        }
        while let Some(attempt) = attempts.try_join_next() {
            went_through(attempt);
        }
        let now = shared.clock.now();
        let until = later(now, timeout(shared) + LEASE_MARGIN);
        let free = u32::try_from(places - attempts.len()).unwrap_or(1);
        let due = shared.oltp.due_actions(now, until, free).await?;
        if due.is_empty() {
            shared.idle(true).await;
        }
        for action in due {
            attempts.spawn(attempt(Arc::clone(shared), Arc::clone(sender), action));
        }
    }
    Ok(())
}

/// A bug in an attempt ends the layer, as it would in any other place.
fn went_through(attempt: Result<(), tokio::task::JoinError>) {
    if let Err(error) = attempt
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn attempt(shared: Arc<Shared>, sender: Arc<Sender>, due: DueAction) {
    // The lease of what could not be recorded ends by time, and the action is due again.
    if let Err(error) = one(&shared, &sender, &due).await {
        shared.meter.failed(metrics::UNRECORDED, &error.to_string());
        tracing::warn!(target: "decisions", action = %due.action_id, %error, "an attempt could not be recorded");
    }
}

async fn one(shared: &Shared, sender: &Sender, due: &DueAction) -> Result<(), DecisionsError> {
    let now = shared.clock.now();
    let answer = match withheld(shared, due, now).await? {
        Some(meaning) => {
            shared.meter.count(metrics::WITHHELD, 1);
            Answer { status: None, meaning }
        }
        None => send(shared, sender, due, now).await,
    };
    let attempt = follow(shared, due, answer, now);
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

/// Why an action must not be sent, at least not now: what was allowed when it was recommended may be denied by the time it is sent.
async fn withheld(shared: &Shared, due: &DueAction, now: Timestamp) -> Result<Option<Meaning>, DecisionsError> {
    let Some(playbook) = shared.playbooks.iter().find(|playbook| playbook.name == due.playbook) else {
        // Without its limits nothing is sent. It may have been taken away by mistake, or be too new for this process: there is time
        // to mend that.
        let why = format!("not sent: there is no playbook `{}`", due.playbook);
        return Ok(Some(Meaning::Again { why, asked: None }));
    };
    let Some(member) = due.member_id else {
        return Ok(Some(Meaning::Refused { why: "not sent: the action has no member".to_owned() }));
    };
    let since = contacts_since(playbook, now);
    let facts = shared.oltp.guardrail_facts(member, &playbook.purpose, &due.channel, since).await?;
    let policy = Policy { channel: due.channel.clone(), ..Policy::at_attempt(playbook) };
    let denied = guardrails::evaluate(&facts, &policy, now).into_iter().find(|verdict| !verdict.allow);
    let why = denied.map(|verdict| format!("not sent: {}: {}", verdict.guardrail, verdict.reason));
    Ok(why.map(|why| Meaning::Refused { why }))
}

async fn send(shared: &Shared, sender: &Sender, due: &DueAction, now: Timestamp) -> Answer {
    let begun = Instant::now();
    let answer = sender.send(due.action_id, due.payload.to_string().into_bytes(), now).await;
    shared.meter.took(metrics::ATTEMPT, begun.elapsed());
    answer
}

/// The record of an attempt, and what follows.
fn follow(shared: &Shared, due: &DueAction, answer: Answer, at: Timestamp) -> Attempt {
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
    Attempt { status_code: answer.status.map(i32::from), error, next, at }
}
