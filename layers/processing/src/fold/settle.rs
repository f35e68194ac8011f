//! After the signals of a step: what is true of a person now, and what of it is news.

use super::carts;
use super::person::{Fired, Person, Trace};
use super::plan::{Plan, Rule};
use super::values::{Known, Values, features};
use super::visits::Visits;
use crate::time;
use model::derived::{Cohorts, Features, Intent, IntentStatus, Session, Tag, Tags};
use model::ids::PersonId;
use model::signal::{Cause, TraceId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Panes, visits and acts are kept this much longer than they can matter, for signals that were held up on their way.
const MARGIN: i64 = 86_400_000_000;
/// A trace's own signals come in the order of their receipt, so its own last receipt says what it may forget. One that has been
/// silent for so much longer than the others of its person ends all the same.
const SILENCE_MAX: i64 = 30 * MARGIN;

/// A record to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Features.
    Features(Features),
    /// Tags.
    Tags(Tags),
    /// Cohorts.
    Cohorts(Cohorts),
    /// A person that is part of another now: no features, tags and cohorts.
    Gone(PersonId),
    /// An intent.
    Intent(Intent),
    /// A visit.
    Session(Session),
    /// A visit that is part of another now.
    SessionGone(Uuid),
}

/// Says what is news and when to look again. Failed rules are counted into `failed`.
pub fn settle(
    id: &PersonId,
    person: &mut Person,
    plan: &Plan,
    now: i64,
    cause: Option<&Cause>,
    failed: &mut u64,
) -> Vec<Output> {
    let mut outputs = Vec::new();
    sessions(id, person, cause, &mut outputs);
    prune(person, plan, now);
    let due = intents(id, person, plan, now, cause, &mut outputs);
    let Values { values, next } = Values::of(person, plan, now);
    person.told.due = [due, next].into_iter().flatten().min();
    let member = person.member_version();
    if person.traces.is_empty() {
        if person.told.plan != 0 {
            person.told = super::person::Told::default();
            outputs.push(Output::Gone(id.clone()));
        }
        return outputs;
    }
    let told = &person.told;
    if told.plan == plan.fingerprint && told.values == values && told.member == member {
        return outputs;
    }
    let columns = plan.columns.len();
    if told.plan != plan.fingerprint || told.values.get(..columns) != values.get(..columns) {
        outputs.push(Output::Features(Features {
            person: id.clone(),
            features: features(plan, &values),
            as_of: time(now),
            received_at: time(person.received_until()),
            cause: cause.cloned(),
        }));
    }
    let first = told.plan == 0;
    let known = Known { plan, values: &values, member: person.member() };
    let tags = holding(&plan.tags, &known, &told.tags, now, failed);
    let cohorts = holding(&plan.cohorts, &known, &told.cohorts, now, failed);
    if tags != told.tags && !(first && tags.is_empty()) {
        outputs.push(Output::Tags(Tags {
            person: id.clone(),
            tags: list(&tags),
            as_of: time(now),
            cause: cause.cloned(),
        }));
    }
    if cohorts != told.cohorts && !(first && cohorts.is_empty()) {
        let cohorts = list(&cohorts);
        outputs.push(Output::Cohorts(Cohorts { person: id.clone(), cohorts, as_of: time(now), cause: cause.cloned() }));
    }
    person.told = super::person::Told { plan: plan.fingerprint, values, member, tags, cohorts, due: person.told.due };
    outputs
}

/// Which rules hold, and since when. A rule that cannot be evaluated does not hold.
fn holding(
    rules: &[Rule],
    known: &Known<'_>,
    before: &BTreeMap<String, i64>,
    now: i64,
    failed: &mut u64,
) -> BTreeMap<String, i64> {
    let mut held = BTreeMap::new();
    for rule in rules {
        match rule.when.holds(known) {
            Ok(true) => {
                held.insert(rule.name.clone(), before.get(&rule.name).copied().unwrap_or(now));
            }
            Ok(false) => {}
            Err(_) => *failed += 1,
        }
    }
    held
}

fn list(held: &BTreeMap<String, i64>) -> Vec<Tag> {
    held.iter().map(|(tag, since)| Tag { tag: tag.clone(), since: time(*since) }).collect()
}

fn prune(person: &mut Person, plan: &Plan, now: i64) {
    let horizon = horizon(person, plan);
    for trace in person.traces.values_mut() {
        for (name, counter) in &mut trace.counters {
            for (seconds, panes) in &mut counter.panes {
                let kept = plan.kept.get(&(name.clone(), *seconds)).copied().unwrap_or(0);
                let first = now.saturating_sub(kept).div_euclid(seconds * 1_000_000);
                while let Some(pane) = panes.first_entry() {
                    if *pane.key() >= first {
                        break;
                    }
                    pane.remove();
                }
            }
        }
        let horizon = horizon(trace);
        trace.forget_acts(trace.acts.partition_point(|act| act.at < horizon));
        trace.visits.forget_before(horizon);
        trace.fired.retain(|_, fired| fired.at >= horizon + MARGIN);
        let in_windows = now.saturating_sub(plan.orders_kept);
        trace.sum_up(in_windows.min(horizon).saturating_sub(plan.lateness));
    }
}

/// No event of a trace that is not late lies before this time.
fn horizon(person: &Person, plan: &Plan) -> impl Fn(&Trace) -> i64 + use<> {
    let (silent, lateness) = (person.received_until().saturating_sub(SILENCE_MAX), plan.lateness);
    move |trace| trace.received_until.max(silent).saturating_sub(lateness).saturating_sub(2 * MARGIN)
}

fn sessions(id: &PersonId, person: &mut Person, cause: Option<&Cause>, outputs: &mut Vec<Output>) {
    for (name, trace) in &mut person.traces {
        for (start, visit) in trace.visits.take_touched() {
            let session_id = Visits::id(name, start);
            outputs.push(match visit {
                None => Output::SessionGone(session_id),
                Some(visit) => Output::Session(Session {
                    session_id,
                    trace: TraceId(name.clone()),
                    person: id.clone(),
                    started_at: time(start),
                    ended_at: time(visit.end),
                    events: visit.events,
                    product_views: visit.views,
                    cause: cause.cloned(),
                }),
            });
        }
    }
}

fn intents(
    id: &PersonId,
    person: &mut Person,
    plan: &Plan,
    now: i64,
    cause: Option<&Cause>,
    outputs: &mut Vec<Output>,
) -> Option<i64> {
    let (mut first_due, horizon) = (None, horizon(person, plan));
    for intent in &plan.intents {
        let (changed, due) = carts::fire(&id.0, person, intent, now, |trace| horizon(trace) + MARGIN);
        first_due = [first_due, due].into_iter().flatten().min();
        outputs.extend(changed.into_iter().map(|(intent_id, fired)| Output::Intent(told(intent_id, fired, cause))));
    }
    first_due
}

fn told(intent_id: Uuid, fired: Fired, cause: Option<&Cause>) -> Intent {
    Intent {
        intent_id,
        intent: fired.intent,
        person: PersonId(fired.person),
        status: if fired.retracted { IntentStatus::Retracted } else { IntentStatus::Fired },
        fired_at: time(fired.fired_at),
        detail: serde_json::from_str(&fired.detail).unwrap_or_default(),
        cause: cause.cloned(),
    }
}
