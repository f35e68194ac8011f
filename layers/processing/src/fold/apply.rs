//! A signal changes a person. Pure: no I/O, no clock, no chance.

use super::handover::{Piece, pieces};
use super::person::{Act, Counter, Member, Order, Person, Return, Trace, Versioned, keep};
use super::plan::{ANY, Plan};
use super::visits::Visit;
use crate::ProcessingError;
use crate::incoming::{Body, Event, Signal};
use model::behaviour::name::PRODUCT_VIEWED;
use model::ids::PersonId;
use model::signal::{Body as Told, ProductJoin, Signal as NewSignal};

/// What a signal did besides changing the person.
#[derive(Debug, Default)]
pub struct Effects {
    /// Signals to other people: traces handed over.
    pub send: Vec<NewSignal>,
    /// Events beyond the allowed lateness.
    pub late: u64,
    /// Facts about orders that are not kept one by one any more.
    pub past: u64,
}

/// Applies a signal.
///
/// # Errors
/// When a handover cannot be read: another version of the program wrote it.
pub fn apply(
    person: &mut Person,
    signal: Signal<'_>,
    plan: &Plan,
    effects: &mut Effects,
) -> Result<(), ProcessingError> {
    match signal.body {
        Body::Detach { ref to, move_no } => return detach(person, &signal, to, move_no, effects),
        Body::Handover { move_no, ref state } => return hand_over(person, &signal, move_no, state, plan, effects),
        _ => {}
    }
    if !person.traces.contains_key(&signal.trace.0) {
        person.traces.insert(signal.trace.0.clone(), Trace::default());
    }
    let Some(trace) = person.traces.get_mut(&signal.trace.0) else { return Ok(()) };
    trace.received_until = trace.received_until.max(signal.received_at.as_microsecond());
    match signal.body {
        Body::Event { event, product } => event_of(trace, &event, product.as_ref(), plan, effects),
        Body::Order(fact) if trace.is_past(fact.placed_at.as_microsecond()) => effects.past += 1,
        Body::Order(fact) => keep(&mut trace.orders, fact.order_id, Order::of(&fact)),
        Body::Return(fact) if trace.past.is_some() && !trace.orders.contains_key(&fact.order_id) => effects.past += 1,
        Body::Return(fact) => keep(&mut trace.returns, fact.return_id, Return::of(&fact)),
        Body::Member(fact) => trace.know(Member::of(&fact)),
        Body::Forget { fact, version } => forget(trace, &fact, version, effects),
        Body::Detach { .. } | Body::Handover { .. } => {}
    }
    Ok(())
}

fn event_of(trace: &mut Trace, event: &Event<'_>, product: Option<&ProductJoin>, plan: &Plan, effects: &mut Effects) {
    let at = event.occurred_at.as_microsecond();
    for name in [event.name.as_ref(), ANY] {
        if let Some(granularities) = plan.counted.get(name) {
            Counter::add(&mut trace.counters, name, at, granularities);
        }
    }
    if at < event.received_at.as_microsecond().saturating_sub(plan.lateness) {
        effects.late += 1;
        return;
    }
    let views = u64::from(event.name == PRODUCT_VIEWED);
    trace.visits.add(at, Visit { end: at, events: 1, views }, plan.gap);
    if plan.acts.contains(event.name.as_ref()) {
        // The event's own words come first: they do not depend on whether the product was known by then.
        let code = event.properties.product_code().or_else(|| product.map(|product| product.product_code.clone()));
        trace.act(Act {
            at,
            name: event.name.clone().into_owned(),
            product: code.or_else(|| event.properties.sku_code()),
            quantity: event.properties.quantity(),
            price: event.properties.price().map(|price| (price.minor, price.currency.to_string())),
        });
    }
}

fn forget(trace: &mut Trace, fact: &str, version: (u64, u64), effects: &mut Effects) {
    let Some((kind, id)) = fact.split_once(':') else { return };
    let Ok(id) = id.parse() else { return };
    match kind {
        "order" => {
            effects.past += u64::from(trace.past.is_some() && !trace.orders.contains_key(&id));
            keep(&mut trace.orders, id, Versioned { version, fact: None });
        }
        "return" => keep(&mut trace.returns, id, Versioned { version, fact: None }),
        "member" => trace.know(Versioned { version, fact: None }),
        _ => {}
    }
}

fn handover(signal: &Signal<'_>, to: &PersonId, move_no: u64, state: String) -> NewSignal {
    NewSignal {
        person: to.clone(),
        trace: signal.trace.clone(),
        occurred_at: signal.occurred_at,
        received_at: signal.received_at,
        cause: signal.cause.clone(),
        body: Told::Handover { move_no, state },
    }
}

/// The trace leaves: its state goes to the new owner, once.
fn detach(
    person: &mut Person,
    signal: &Signal<'_>,
    to: &PersonId,
    move_no: u64,
    effects: &mut Effects,
) -> Result<(), ProcessingError> {
    let trace = &signal.trace.0;
    if person.moved.get(trace).is_some_and(|(known, _)| *known >= move_no) {
        return Ok(());
    }
    person.moved.insert(trace.clone(), (move_no, to.0.clone()));
    if let Some(state) = person.traces.remove(trace) {
        effects.send.extend(pieces(state, move_no)?.into_iter().map(|piece| handover(signal, to, move_no, piece)));
    }
    Ok(())
}

/// A piece of a trace's state arrives. If the trace has left again by a later move, the state follows it.
fn hand_over(
    person: &mut Person,
    signal: &Signal<'_>,
    move_no: u64,
    state: &str,
    plan: &Plan,
    effects: &mut Effects,
) -> Result<(), ProcessingError> {
    let trace = &signal.trace.0;
    if let Some((later, to)) = person.moved.get(trace).filter(|(later, _)| *later > move_no) {
        effects.send.push(handover(signal, &PersonId(to.clone()), *later, state.to_owned()));
        return Ok(());
    }
    let Piece { move_no, part, trace: state } = Piece::read(state)?;
    let mine = person.traces.entry(trace.clone()).or_default();
    if mine.pieces.insert((move_no, part)) {
        mine.merge(state, plan.gap);
        effects.past += mine.drop_past();
    }
    Ok(())
}
