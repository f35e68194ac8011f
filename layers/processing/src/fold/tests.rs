//! Each aggregate against a naive recomputation: random signals, any order, any split into states of the same trace.

use super::Fold;
use super::apply::{Effects, apply};
use super::handover::Piece;
use super::past::ORDERS_MAX;
use super::person::{Counter, PERSONS, Person, Trace};
use super::plan::Plan;
use super::settle::{Output, settle};
use super::values::{Values, features};
use crate::config::ProcessingConfig;
use crate::incoming;
use crate::run::{Stage, Work};
use bus::{Bus, MemoryBus, Record, StateChange, Step, TopicPartition};
use contract::Definitions;
use model::Decimal;
use model::behaviour::{BehaviourEvent, EventType};
use model::ids::PersonId;
use model::signal::{Body, Cause, OrderFact, ReturnFact, Signal, TraceId};
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const NOW: i64 = 1_772_366_400_000_000;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;

fn signal(trace: &str, at: i64, body: Body) -> Signal {
    Signal {
        person: PersonId("m:1".to_owned()),
        trace: TraceId(trace.to_owned()),
        occurred_at: crate::time(at),
        received_at: crate::time(NOW),
        cause: Cause { topic: "t".to_owned(), partition: 0, offset: 0 },
        body,
    }
}

fn event(name: &str, at: i64) -> Body {
    let event = BehaviourEvent {
        message_id: "m".to_owned(),
        name: name.to_owned(),
        kind: EventType::Track,
        anonymous_id: None,
        user_id: None,
        previous_id: None,
        identities: Vec::new(),
        occurred_at: crate::time(at),
        received_at: crate::time(NOW),
        context: Map::new(),
        properties: Map::new(),
        consent: None,
        enrichment: Map::new(),
        source: "s".to_owned(),
        contract_version: 0,
    };
    Body::Event { event: Box::new(event), product: None }
}

fn order(id: u8, version: u64, at: i64, cancelled: bool, net_minor: i64) -> OrderFact {
    OrderFact {
        order_id: Uuid::from_u128(id.into()),
        version: (version, 0),
        status: if cancelled { "cancelled" } else { "paid" }.to_owned(),
        channel: "pos".to_owned(),
        store_code: None,
        placed_at: crate::time(at),
        units: Decimal::new(net_minor, 2),
        net_minor,
        currency: if net_minor % 7 == 0 { "EUR" } else { "USD" }.to_owned(),
    }
}

fn fold(person: &mut Person, plan: &Plan, signals: &[Signal]) -> Vec<Signal> {
    let mut effects = Effects::default();
    for signal in signals {
        let bytes = serde_json::to_vec(signal).unwrap();
        let read: incoming::Signal<'_> = serde_json::from_slice(&bytes).unwrap();
        apply(person, read, plan, &mut effects).unwrap();
    }
    effects.send
}

fn plan() -> std::sync::Arc<Plan> {
    Plan::new(&Definitions::embedded(), &ProcessingConfig::default())
}

/// Windows as the contract words them, in minutes; views slide by panes.
fn naive(views: &[i64], orders: &[OrderFact], returns: &[ReturnFact]) -> BTreeMap<String, Value> {
    let mut last: BTreeMap<Uuid, &OrderFact> = BTreeMap::new();
    for order in orders {
        let known = last.entry(order.order_id).or_insert(order);
        if order.version > known.version {
            *known = order;
        }
    }
    let sold: Vec<&OrderFact> = last.into_values().filter(|order| order.status != "cancelled").collect();
    let mut expected = BTreeMap::new();
    for (label, window, pane) in
        [("24h", 1_440, 5), ("7d", 10_080, 35), ("30d", 43_200, 150), ("lifetime", i64::MAX, 1)]
    {
        let inside = |at: i64| window == i64::MAX || at > NOW - window * MINUTE;
        let pane_end = |at: i64| (at.div_euclid(pane * MINUTE) + 1) * pane * MINUTE;
        let mine: Vec<&&OrderFact> = sold.iter().filter(|order| inside(order.placed_at.as_microsecond())).collect();
        let back = |order: &OrderFact| {
            returns.iter().filter(|r| r.order_id == order.order_id).map(|r| r.net_minor).sum::<i64>()
        };
        let units: i64 = mine.iter().map(|order| order.net_minor - back(order)).sum();
        let dollars = mine.iter().filter(|order| order.currency == "USD");
        let net: i64 = dollars.map(|order| order.net_minor - back(order)).sum();
        let seen = views.iter().filter(|at| inside(pane_end(**at))).count();
        expected.insert(format!("orders_{label}"), Value::from(mine.len()));
        expected.insert(format!("units_{label}"), Value::from(Decimal::new(units, 2).normalize().to_string()));
        expected.insert(format!("net_spend_minor_{label}"), Value::from(net));
        expected.insert(format!("product_views_{label}"), Value::from(seen));
    }
    expected
}

fn told(person: &Person, plan: &Plan) -> BTreeMap<String, Value> {
    let values = features(plan, &Values::of(person, plan, NOW).values);
    let four = |name: &str| {
        ["orders", "units", "net_spend_minor", "product_views"].iter().any(|start| name.starts_with(start))
    };
    values.into_iter().filter(|(name, _)| four(name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sixteen_values_equal_a_naive_recomputation(
        views in prop::collection::vec(-40 * DAY..0, 0..40),
        orders in prop::collection::vec((0_u8..8, -40 * DAY..0, any::<bool>(), -500_i64..5_000), 0..30),
        returns in prop::collection::btree_map(0_u8..8, 1_i64..400, 0..6),
        order_of in any::<u64>(),
    ) {
        let views: Vec<i64> = views.into_iter().map(|at| NOW + at).collect();
        let orders: Vec<OrderFact> = orders.iter().enumerate()
            .map(|(n, (id, at, cancelled, net))| order(*id, n as u64 + 1, NOW + at, *cancelled, *net)).collect();
        let returns: Vec<ReturnFact> = returns.iter().map(|(id, net)| ReturnFact {
            return_id: Uuid::from_u128(1_000 + u128::from(*id)), version: (1, 0), order_id: Uuid::from_u128((*id).into()),
            status: "completed".to_owned(), units: Decimal::new(*net, 2), net_minor: *net,
        }).collect();
        let mut signals: Vec<Signal> = views.iter().map(|at| signal("a:1", *at, event("product_viewed", *at))).collect();
        signals.extend(orders.iter().map(|fact| signal("m:1", fact.placed_at.as_microsecond(), Body::Order(fact.clone()))));
        signals.extend(returns.iter().map(|fact| signal("m:1", NOW, Body::Return(fact.clone()))));
        // A fixed shuffle by a random number.
        signals.sort_by_key(|signal| {
            let text = serde_json::to_string(signal).unwrap();
            text.bytes().fold(order_of, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        });
        let (plan, mut whole) = (plan(), Person::default());
        fold(&mut whole, &plan, &signals);
        let expected = naive(&views, &orders, &returns);
        prop_assert_eq!(&told(&whole, &plan), &expected);

        // The same in two states that are handed over to one.
        let (left, right) = signals.split_at(signals.len() / 2);
        let (mut one, mut other) = (Person::default(), Person::default());
        fold(&mut one, &plan, left);
        fold(&mut other, &plan, right);
        let traces: BTreeSet<String> = other.traces.keys().cloned().collect();
        for trace in traces {
            let leave = signal(&trace, NOW, Body::Detach { to: PersonId("m:1".to_owned()), move_no: 1 });
            let handed_over = fold(&mut other, &plan, &[leave.clone(), leave]);
            prop_assert_eq!(handed_over.len(), 1);
            fold(&mut one, &plan, &handed_over);
            fold(&mut one, &plan, &handed_over);
        }
        prop_assert_eq!(told(&one, &plan), expected);
        prop_assert!(other.traces.is_empty());
    }
}

#[test]
fn a_state_that_arrives_late_follows_its_trace() {
    let (plan, mut middle) = (plan(), Person::default());
    let state = |send: &[Signal]| {
        send.iter()
            .map(|s| (s.person.0.clone(), matches!(s.body, Body::Handover { move_no: 2, .. })))
            .collect::<Vec<_>>()
    };
    let mut first = Person::default();
    fold(&mut first, &plan, &[signal("a:1", NOW, event("page_view", NOW))]);
    let detach = |to: &str, move_no| signal("a:1", NOW, Body::Detach { to: PersonId(to.to_owned()), move_no });
    let handover = fold(&mut first, &plan, &[detach("m:2", 1)]);
    // The middle owner loses the trace before it has its state.
    assert!(fold(&mut middle, &plan, &[detach("m:3", 2)]).is_empty());
    let forwarded = fold(&mut middle, &plan, &handover);
    assert_eq!(state(&forwarded), [("m:3".to_owned(), true)]);
    let mut last = Person::default();
    fold(&mut last, &plan, &forwarded);
    assert_eq!(last.traces["a:1"].counters["*"].count, 1);
}

#[test]
fn state_reads_back_and_other_layouts_are_refused() {
    let (plan, mut person) = (plan(), Person::default());
    fold(&mut person, &plan, &[signal("a:1", NOW, event("product_added", NOW))]);
    let mut bytes = person.encode().unwrap().to_vec();
    let mut back = Person::decode(&bytes).unwrap();
    back.traces.values_mut().chain(person.traces.values_mut()).for_each(|trace| drop(trace.visits.take_touched()));
    assert_eq!(back, person);
    bytes[0] = 200;
    assert!(Person::decode(&bytes).unwrap_err().to_string().contains("layout 200"));
    assert!(Person::decode(&[]).is_err());
    assert!(Piece::read("").is_err());
}

fn many_orders(count: u64, first_at: i64) -> Vec<Signal> {
    let order = |n: u64| {
        let at = first_at + n as i64 * MINUTE;
        let fact = OrderFact { order_id: Uuid::from_u128(n.into()), ..order(0, 1, at, n.is_multiple_of(10), 100) };
        signal("c:card:1", at, Body::Order(fact))
    };
    (0..count).map(order).collect()
}

#[test]
fn a_large_trace_is_handed_over_in_records_that_the_bus_takes_and_repeats_are_harmless() {
    let (plan, mut old, mut new) = (plan(), Person::default(), Person::default());
    fold(&mut old, &plan, &many_orders(20_000, NOW - 20 * DAY));
    fold(&mut old, &plan, &[signal("c:card:1", NOW, event("product_viewed", NOW))]);
    let before = told(&old, &plan);
    let leave = signal("c:card:1", NOW, Body::Detach { to: PersonId("m:1".to_owned()), move_no: 1 });
    let handed_over = fold(&mut old, &plan, &[leave]);
    assert!(handed_over.len() > 1);
    for signal in &handed_over {
        assert!(serde_json::to_vec(signal).unwrap().len() < bus::limits::MAX_RECORD_BYTES - 10_000);
    }
    fold(&mut new, &plan, &handed_over);
    fold(&mut new, &plan, &handed_over[..1]);
    assert_eq!(told(&new, &plan), before);
    // A repeat that comes when the trace has gone on follows it, and is harmless there too.
    let leave = signal("c:card:1", NOW, Body::Detach { to: PersonId("m:2".to_owned()), move_no: 2 });
    let (mut last, onward) = (Person::default(), fold(&mut new, &plan, &[leave]));
    fold(&mut last, &plan, &onward);
    let repeated = fold(&mut new, &plan, &handed_over);
    assert_eq!(repeated.len(), handed_over.len());
    fold(&mut last, &plan, &repeated);
    assert_eq!(told(&last, &plan), before);
}

fn settled(person: &mut Person, plan: &Plan, now: i64) -> Vec<Output> {
    settle(&PersonId("m:1".to_owned()), person, plan, now, None, &mut 0)
}

#[test]
fn very_many_orders_become_sums_and_what_comes_for_those_is_counted_as_past() {
    let (plan, mut person) = (plan(), Person::default());
    let count = ORDERS_MAX as u64 + 1_000;
    fold(&mut person, &plan, &many_orders(count, NOW - 300 * DAY));
    let taken = ReturnFact {
        return_id: Uuid::from_u128(1),
        version: (1, 0),
        order_id: Uuid::from_u128(1),
        status: "completed".to_owned(),
        units: Decimal::ONE,
        net_minor: 30,
    };
    fold(&mut person, &plan, &[signal("c:card:1", NOW, Body::Return(taken.clone()))]);
    let all = features(&plan, &Values::of(&person, &plan, NOW).values);
    settled(&mut person, &plan, NOW);
    let trace = &person.traces["c:card:1"];
    assert!(trace.orders.len() <= ORDERS_MAX && trace.returns.is_empty(), "{} orders are kept", trace.orders.len());
    assert_eq!(features(&plan, &Values::of(&person, &plan, NOW).values), all);
    // What cannot be told from the sums changes nothing, and is counted; a new order counts.
    let again = many_orders(2, NOW - 300 * DAY);
    let late = signal("c:card:1", NOW, Body::Return(ReturnFact { version: (2, 0), ..taken }));
    let mut effects = Effects::default();
    for signal in again.into_iter().chain([late]) {
        let bytes = serde_json::to_vec(&signal).unwrap();
        apply(&mut person, serde_json::from_slice(&bytes).unwrap(), &plan, &mut effects).unwrap();
    }
    assert_eq!(effects.past, 3);
    assert_eq!(features(&plan, &Values::of(&person, &plan, NOW).values), all);
    let new = OrderFact { order_id: Uuid::from_u128(u128::MAX), ..order(9, 1, NOW, false, 100) };
    fold(&mut person, &plan, &[signal("c:card:1", NOW, Body::Order(new))]);
    let orders = |values: &BTreeMap<String, Value>| values["orders_lifetime"].as_u64().unwrap();
    assert_eq!(orders(&told(&person, &plan)), all["orders_lifetime"].as_u64().unwrap() + 1);
}

#[test]
fn a_cart_left_is_said_once_at_every_age() {
    let (plan, mut person) = (plan(), Person::default());
    let mut fired = 0;
    for hour in 0..24 * 12 {
        let at = NOW + hour * 60 * MINUTE;
        let name = if hour == 0 { "product_added" } else { "page_view" };
        let mut signal = signal("a:1", at, event(name, at));
        signal.received_at = crate::time(at);
        fold(&mut person, &plan, &[signal]);
        let outputs = settled(&mut person, &plan, at + 40 * MINUTE);
        fired += outputs.iter().filter(|output| matches!(output, Output::Intent(_))).count();
    }
    assert_eq!(fired, 1);
    let trace = &person.traces["a:1"];
    assert!(trace.acts.is_empty() && trace.fired.is_empty());
}

#[test]
fn what_one_trace_received_does_not_age_another() {
    let (plan, mut person) = (plan(), Person::default());
    let at = |trace: &str, at: i64| {
        let mut signal = signal(trace, at, event("page_view", at));
        signal.received_at = crate::time(at);
        if let Body::Event { event, .. } = &mut signal.body {
            event.received_at = crate::time(at);
        }
        signal
    };
    fold(&mut person, &plan, &[at("a:slow", NOW - 14 * DAY), at("a:fast", NOW)]);
    settled(&mut person, &plan, NOW);
    // The partition of the slow one is read at last.
    fold(&mut person, &plan, &[at("a:slow", NOW - 14 * DAY + MINUTE)]);
    let mut sessions = settled(&mut person, &plan, NOW);
    sessions.retain(|output| matches!(output, Output::Session(_) | Output::SessionGone(_)));
    let [Output::Session(session)] = sessions.as_slice() else { panic!("one visit, not {sessions:?}") };
    assert_eq!(session.events, 2);
}

#[tokio::test]
async fn a_person_who_is_too_large_takes_in_no_more_but_lets_go() {
    let (plan, bus) = (plan(), std::sync::Arc::new(MemoryBus::new()) as std::sync::Arc<dyn Bus>);
    let counter = Counter { count: 1, first: NOW, last: NOW, panes: BTreeMap::new() };
    let mut large = Trace::default();
    large.counters.insert("x".repeat(bus::limits::MAX_STATE_VALUE_BYTES / 2), counter);
    let traces = BTreeMap::from([("a:0".to_owned(), large), ("a:1".to_owned(), Trace::default())]);
    let value = Some(Person { traces, ..Person::default() }.encode().unwrap());
    let state = vec![StateChange { namespace: PERSONS.to_owned(), key: "m:1".into(), value }];
    bus.step(Step { state, ..Step::default() }).await.unwrap();
    let mut stage = Fold::new(plan, &bus, 10);
    let mut step = |body: Body| -> Work {
        let value = Some(serde_json::to_vec(&signal("a:1", NOW, body)).unwrap().into());
        let at = TopicPartition::new(model::topic::SIGNALS, 0);
        let record = Record { at, offset: 0, timestamp_ms: 0, key: None, value, headers: Vec::new() };
        stage.step(&[record], NOW, 10).unwrap()
    };
    let refused = step(event("page_view", NOW));
    assert!(refused.state.is_empty() && refused.produce.is_empty());
    assert_eq!(refused.counts.failed.len(), 1);
    let left = step(Body::Detach { to: PersonId("m:2".to_owned()), move_no: 1 });
    assert!(left.counts.failed.is_empty() && left.produce.iter().any(|record| record.topic == model::topic::SIGNALS));
}
