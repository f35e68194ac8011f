//! The data router: takes kept deliveries, has their receiver make commands of them, runs those, and says what became of it. What
//! it runs twice, after a crash or as a replay, has the same idempotency keys, and the store answers with what was done.

mod verdict;

use crate::config::InboxConfig;
use crate::intake::Intake;
use crate::line;
use crate::metrics;
use crate::receiver::{Kept, MapFault, Mapped};
use bytes::Bytes;
use oltp::inbox::{DeliveryFault, LeasedDelivery, RunDelivery, Settled};
use oltp::{Command, Context, Done, OltpError};
use rand::Rng as _;
use runtime::{Clock as _, SystemClock};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use verdict::Policy;

/// How often the router looks for what is due by itself; what just came wakes it.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits when the store is away.
const AWAY: Duration = Duration::from_secs(2);
/// How often it counts what waits.
const COUNT: Duration = Duration::from_secs(5);
/// How often it takes away what has been done for long, and how many rows at a time.
const FORGET: Duration = Duration::from_secs(60);
const FORGET_MAX: u32 = 1_000;
/// Commands and time after which what was mapped is run: a lease must not end under it.
const COMMANDS_FULL: usize = 2_000;
const TIME_FULL: Duration = Duration::from_secs(5);

/// A delivery with its commands, to be run.
struct Ready {
    delivery: LeasedDelivery,
    kind: Option<String>,
    commands: Result<Vec<(Context, Command)>, DeliveryFault>,
}

/// Routes deliveries until told to stop. A store that is away is waited for.
pub(crate) async fn run(intake: Intake, stop: CancellationToken) -> Result<(), Infallible> {
    let (mut counted, mut forgot) = (None, None);
    let due = |last: &mut Option<Instant>, every: Duration| {
        let due = last.is_none_or(|last: Instant| last.elapsed() >= every);
        if due {
            *last = Some(Instant::now());
        }
        due
    };
    while !stop.is_cancelled() {
        let InboxConfig { leased_max, lease_s, .. } = intake.config.inbox;
        let wait = match intake.oltp.lease_deliveries(leased_max, Duration::from_secs(lease_s)).await {
            Ok(leased) if leased.is_empty() => LOOK,
            Ok(leased) => {
                let started = Instant::now();
                let whole = route(&intake, leased).await;
                intake.meter.took(metrics::ROUTE, started.elapsed());
                if whole { Duration::ZERO } else { AWAY }
            }
            Err(error) => {
                intake.meter.failed(metrics::ROUTER, error.code());
                AWAY
            }
        };
        if due(&mut counted, COUNT) {
            count(&intake).await;
        }
        if due(&mut forgot, FORGET) {
            forget(&intake).await;
        }
        if wait > Duration::ZERO {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                () = intake.delivered.notified(), if wait == LOOK => {}
            }
        }
    }
    Ok(())
}

/// Runs leased deliveries, in their order; false when the store went away under it.
async fn route(intake: &Intake, leased: Vec<LeasedDelivery>) -> bool {
    let mut left = leased.into_iter().peekable();
    while left.peek().is_some() {
        let started = Instant::now();
        let (mut ready, mut commands) = (Vec::new(), 0);
        while let Some(delivery) = left.next_if(|_| commands < COMMANDS_FULL && started.elapsed() < TIME_FULL) {
            let one = map(intake, delivery).await;
            commands += one.commands.as_ref().map_or(0, Vec::len);
            ready.push(one);
        }
        if let Err((error, lease)) = commit(intake, ready).await {
            intake.meter.failed(metrics::ROUTER, error.code());
            // If that does not work either, the lease ends by itself.
            drop(intake.oltp.release_deliveries(lease, AWAY).await);
            return false;
        }
    }
    true
}

/// Has commands made of a delivery.
async fn map(intake: &Intake, delivery: LeasedDelivery) -> Ready {
    let Some(receiver) = intake.receivers.of(&delivery.source).map(Arc::clone) else {
        return Ready { delivery, kind: None, commands: Err(verdict::no_source()) };
    };
    let of = delivery.clone();
    let mapped = tokio::task::spawn_blocking(move || {
        let body = Bytes::from(of.payload);
        receiver.map(&Kept {
            account: &of.account,
            delivery_id: &of.delivery_id,
            headers: &of.headers,
            body: &body,
            received_at: of.received_at,
        })
    });
    match mapped.await {
        Ok(Ok(Mapped { kind, lines })) => {
            let commands = commands(&delivery, &lines, intake.config.inbox.commands_max);
            Ready { delivery, kind, commands }
        }
        Ok(Err(MapFault { code, reason, kind })) => {
            Ready { delivery, kind, commands: Err(verdict::whole(code, reason)) }
        }
        Err(_) => Ready {
            delivery,
            kind: None,
            commands: Err(verdict::whole("access.mapping_failed", "a fault of ours".to_owned())),
        },
    }
}

/// Lines as commands, each with its idempotency key: the delivery and the place in it. One that is none spoils them all.
fn commands(
    delivery: &LeasedDelivery,
    lines: &[String],
    most: usize,
) -> Result<Vec<(Context, Command)>, DeliveryFault> {
    if lines.len() > most {
        return Err(verdict::whole("access.mapping_limit", format!("it makes more than {most} commands")));
    }
    let id = delivery.id;
    let commands = lines.iter().zip(1_u32..).map(|(text, place)| {
        let asked = line::read(text.as_bytes()).map_err(|problem| DeliveryFault {
            code: problem.code,
            reason: problem.detail,
            line: Some(place),
            pointer: problem.pointer,
        })?;
        let context = Context {
            actor: format!("source:{}/{}", delivery.source, delivery.account),
            reason: None,
            request_id: id.to_string(),
            idempotency_key: Some(format!("{id}.{}/{place}", delivery.revision)),
            if_version: None,
        };
        Ok((context, asked.command))
    });
    commands.collect()
}

/// Runs what was made of deliveries, and says what became of each. An error means that the store is away: what it took is found
/// again by its keys.
async fn commit(intake: &Intake, ready: Vec<Ready>) -> Result<(), (OltpError, uuid::Uuid)> {
    let Some(lease) = ready.first().map(|one| one.delivery.lease) else { return Ok(()) };
    let mut all = Vec::new();
    let mut counts = Vec::with_capacity(ready.len());
    let mut run = Vec::with_capacity(ready.len());
    for Ready { delivery, kind, commands } in ready {
        let (count, fault) = match commands {
            Ok(commands) => {
                let count = commands.len();
                all.extend(commands);
                (count, None)
            }
            Err(fault) => (0, Some(fault)),
        };
        counts.push(count);
        run.push((delivery, kind, fault));
    }
    let outcomes =
        if all.is_empty() { Vec::new() } else { intake.oltp.run_batch(all).await.map_err(|error| (error, lease))?.0 };
    if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.as_ref().is_err_and(OltpError::retry)) {
        return Err((error.clone(), lease));
    }
    let mut outcomes = outcomes.into_iter();
    let mut settled = Vec::with_capacity(run.len());
    for ((delivery, kind, fault), count) in run.into_iter().zip(counts) {
        let of: Vec<Result<Done, OltpError>> = outcomes.by_ref().take(count).collect();
        let settled_as = judge(intake, &delivery, fault, &of);
        settled.push(RunDelivery { id: delivery.id, lease, kind, lines: count, settled: settled_as });
    }
    intake.oltp.settle_deliveries(&settled).await.map_err(|error| (error, lease))?;
    for one in &settled {
        match one.settled {
            Settled::Done => intake.meter.handled(metrics::DONE, 1),
            Settled::Retry(..) => intake.meter.count(metrics::RETRIED, 1),
            Settled::Dead(_) => intake.meter.count(metrics::DEAD, 1),
        }
    }
    Ok(())
}

fn judge(
    intake: &Intake,
    delivery: &LeasedDelivery,
    fault: Option<DeliveryFault>,
    outcomes: &[Result<Done, OltpError>],
) -> Settled {
    let contract = intake.receivers.of(&delivery.source).map(|receiver| receiver.contract());
    let config = &intake.config.inbox;
    let hours = Duration::from_secs(u64::from(config.retry_hours) * 3_600);
    let own = contract.and_then(|contract| contract.retry_for);
    let policy = Policy {
        retry_for: own.map_or(hours, |span| Duration::from_secs(span.as_seconds().unsigned_abs())),
        first: Duration::from_millis(config.wait_first_ms),
        most: Duration::from_millis(config.wait_most_ms),
        also: contract.map(|contract| &contract.retry_on),
    };
    let age = SystemClock.now().duration_since(delivery.retry_since);
    let age = Duration::try_from(age).unwrap_or_default();
    verdict::of(&policy, fault, outcomes, delivery.attempts, age, rand::rng().random())
}

/// Counts what waits.
async fn count(intake: &Intake) {
    if let Ok(standing) = intake.oltp.inbox_standing().await {
        intake.meter.lag(standing.received + standing.retry);
        intake.meter.level(metrics::DEAD, standing.dead);
        intake.meter.level(metrics::OLDEST, standing.oldest_s);
    }
}

/// Takes away what has been done for long. What it cannot take now it takes a minute later.
async fn forget(intake: &Intake) {
    let InboxConfig { payload_days, receipt_days, .. } = intake.config.inbox;
    while let Ok(rows) = intake.oltp.forget_deliveries(payload_days, receipt_days, FORGET_MAX).await
        && rows >= u64::from(FORGET_MAX)
    {}
}
