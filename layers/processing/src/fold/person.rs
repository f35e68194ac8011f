//! What is known of a person: a set of traces, each of which can be merged with another state of the same trace.
//!
//! Everything in a trace is a set, a sum or a maximum. So the order in which signals arrive does not matter, and handing a trace
//! over to another person is a union.

use super::past::Past;
use super::visits::Visits;
use crate::ProcessingError;
use crate::codec;
use bytes::Bytes;
use model::signal::{MemberFact, OrderFact, ReturnFact};
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Namespace of people in the state.
pub const PERSONS: &str = "processing.persons";
/// Layout of a person; raise it with every change of these structs.
pub const LAYOUT: u8 = 2;
/// Acts kept of one trace; the oldest go first. A cart with more is no shopper's.
pub const ACTS_MAX: usize = 500;
/// Pieces of state remembered as merged; the oldest go first. A trace that moved so often is a shared device.
const PIECES_MAX: usize = 256;

/// `(lsn, seq)` of the change that a fact comes from; the higher one is the truth.
pub type Version = (u64, u64);

/// What is known of a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// The traces that the person is made of.
    pub traces: BTreeMap<String, Trace>,
    /// Traces that left: number of the move, and where to. What arrives late for them is sent on.
    pub moved: BTreeMap<String, (u64, String)>,
    /// What was said of the person last.
    pub told: Told,
}

/// What was said of a person last, so that only changes are said again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Fingerprint of the definitions that the values were evaluated by; 0 when nothing was said.
    pub plan: u64,
    /// Values of the columns.
    pub values: Vec<Option<i64>>,
    /// Version of the member's row.
    pub member: Version,
    /// Tags and since when, in microseconds.
    pub tags: BTreeMap<String, i64>,
    /// Cohorts and since when.
    pub cohorts: BTreeMap<String, i64>,
    /// When to look at the person again without a signal.
    pub due: Option<i64>,
}

/// What is known from one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Receipt of the newest signal.
    pub received_until: i64,
    /// Counts of events, by name; `*` counts all.
    pub counters: BTreeMap<String, Counter>,
    /// Orders.
    pub orders: BTreeMap<Uuid, Versioned<Order>>,
    /// Returns.
    pub returns: BTreeMap<Uuid, Versioned<Return>>,
    /// Orders that are not kept one by one any more, less what was returned of them.
    pub past: Option<Past>,
    /// The member, in the member's own trace.
    pub member: Option<Versioned<Member>>,
    /// Visits.
    pub visits: Visits,
    /// What intents look at, by time.
    pub acts: Vec<Act>,
    /// Time of the newest act that is not kept any more: what is known of acts is whole only after it.
    pub acts_gone: Option<i64>,
    /// Intents that fired.
    pub fired: BTreeMap<Uuid, Fired>,
    /// Handed-over pieces that are part of this: number of the move, number of the piece.
    pub pieces: BTreeSet<(u64, u32)>,
}

/// How often something happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// How often, ever.
    pub count: u64,
    /// The first time.
    pub first: i64,
    /// The last time.
    pub last: i64,
    /// How often by pane, for each granularity in seconds. Pane `n` begins `n` × granularity after 1970.
    pub panes: BTreeMap<i64, BTreeMap<i64, u32>>,
}

/// A fact with the version that it was last changed by; none when it moved away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// The version.
    pub version: Version,
    /// The fact.
    pub fact: Option<T>,
}

/// What an order contributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// When it was placed.
    pub placed_at: i64,
    /// Units, in ten-thousandths.
    pub units: i64,
    /// Net amount in minor units.
    pub net_minor: i64,
    /// Currency.
    pub currency: String,
    /// Whether it counts: it is not cancelled.
    pub counts: bool,
}

/// What a return takes away from an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Return {
    /// The order.
    pub order: Uuid,
    /// Units, in ten-thousandths.
    pub units: i64,
    /// Net amount in minor units.
    pub net_minor: i64,
    /// Whether it counts: it is completed.
    pub counts: bool,
}

/// What rules read of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Status.
    pub status: String,
    /// When the member joined.
    pub enrolled_at: i64,
    /// Tier.
    pub tier: Option<String>,
}

/// Something that an intent looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: i64,
    /// Name of the event.
    pub name: String,
    /// Code of the product.
    pub product: Option<String>,
    /// How many.
    pub quantity: i64,
    /// Price of one in minor units, and its currency.
    pub price: Option<(i64, String)>,
}

/// An intent that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Name of the intent.
    pub intent: String,
    /// Whom it was said of.
    pub person: String,
    /// Last act of what it is about.
    pub at: i64,
    /// When it fired.
    pub fired_at: i64,
    /// Whether it was taken back.
    pub retracted: bool,
    /// Its detail, JSON.
    pub detail: String,
}

/// Ten-thousandths of a unit, the finest that the store keeps.
fn ten_thousandths(units: model::Decimal) -> i64 {
    units.checked_mul(model::Decimal::from(10_000)).and_then(|units| units.round().to_i64()).unwrap_or(0)
}

impl Order {
    /// What an order contributes.
    pub fn of(fact: &OrderFact) -> Versioned<Self> {
        let order = Self {
            placed_at: fact.placed_at.as_microsecond(),
            units: ten_thousandths(fact.units),
            net_minor: fact.net_minor,
            currency: fact.currency.clone(),
            counts: fact.status != "cancelled",
        };
        Versioned { version: fact.version, fact: Some(order) }
    }
}

impl Return {
    /// What a return takes away.
    pub fn of(fact: &ReturnFact) -> Versioned<Self> {
        let taken = Self {
            order: fact.order_id,
            units: ten_thousandths(fact.units),
            net_minor: fact.net_minor,
            counts: fact.status == "completed",
        };
        Versioned { version: fact.version, fact: Some(taken) }
    }
}

impl Member {
    /// What rules read of a member.
    pub fn of(fact: &MemberFact) -> Versioned<Self> {
        let member = Self {
            status: fact.status.clone(),
            enrolled_at: fact.enrolled_at.as_microsecond(),
            tier: fact.tier_code.clone(),
        };
        Versioned { version: fact.version, fact: Some(member) }
    }
}

/// Keeps the higher version of a fact.
pub fn keep<T>(facts: &mut BTreeMap<Uuid, Versioned<T>>, id: Uuid, new: Versioned<T>) {
    match facts.get_mut(&id) {
        Some(old) if old.version >= new.version => {}
        Some(old) => *old = new,
        None => {
            facts.insert(id, new);
        }
    }
}

impl Counter {
    /// Counts one event.
    pub fn add(counters: &mut BTreeMap<String, Self>, name: &str, at: i64, granularities: &[i64]) {
        if !counters.contains_key(name) {
            counters.insert(name.to_owned(), Self { count: 0, first: at, last: at, panes: BTreeMap::new() });
        }
        if let Some(counter) = counters.get_mut(name) {
            counter.count += 1;
            counter.first = counter.first.min(at);
            counter.last = counter.last.max(at);
            for seconds in granularities {
                *counter.panes.entry(*seconds).or_default().entry(at.div_euclid(seconds * 1_000_000)).or_default() += 1;
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (seconds, panes) in other.panes {
            let mine = self.panes.entry(seconds).or_default();
            for (pane, count) in panes {
                *mine.entry(pane).or_default() += count;
            }
        }
    }
}

impl Trace {
    /// Unites with another state of the same trace.
    pub fn merge(&mut self, other: Self, gap: i64) {
        self.received_until = self.received_until.max(other.received_until);
        for (name, counter) in other.counters {
            match self.counters.get_mut(&name) {
                Some(mine) => mine.merge(counter),
                None => {
                    self.counters.insert(name, counter);
                }
            }
        }
        for (id, order) in other.orders {
            keep(&mut self.orders, id, order);
        }
        for (id, taken) in other.returns {
            keep(&mut self.returns, id, taken);
        }
        if let Some(past) = &other.past {
            self.past.get_or_insert_default().merge(past);
        }
        if let Some(member) = other.member {
            self.know(member);
        }
        self.visits.merge(other.visits, gap);
        for act in other.acts {
            self.act(act);
        }
        self.acts_gone = self.acts_gone.max(other.acts_gone);
        for (id, fired) in other.fired {
            self.fired.entry(id).or_insert(fired);
        }
        self.pieces.extend(other.pieces);
        while self.pieces.len() > PIECES_MAX {
            self.pieces.pop_first();
        }
    }

    /// Takes in the member's row.
    pub fn know(&mut self, member: Versioned<Member>) {
        if self.member.as_ref().is_none_or(|known| known.version < member.version) {
            self.member = Some(member);
        }
    }

    /// Takes in an act, in its place by time.
    pub fn act(&mut self, act: Act) {
        let place = self.acts.partition_point(|known| *known <= act);
        self.acts.insert(place, act);
        self.forget_acts(self.acts.len().saturating_sub(ACTS_MAX));
    }

    /// Forgets the oldest acts.
    pub fn forget_acts(&mut self, count: usize) {
        let newest = self.acts.drain(..count).next_back().map(|act| act.at);
        self.acts_gone = self.acts_gone.max(newest);
    }
}

impl Person {
    /// The state value.
    pub fn encode(&self) -> Result<Bytes, ProcessingError> {
        codec::encode(PERSONS, LAYOUT, self)
    }

    /// Reads a state value.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProcessingError> {
        codec::decode(PERSONS, LAYOUT, bytes)
    }

    /// The member, if the person is one.
    pub fn member(&self) -> Option<&Member> {
        self.traces.values().find_map(|trace| trace.member.as_ref()?.fact.as_ref())
    }

    /// Version of the member's row, also when the row is gone.
    pub fn member_version(&self) -> Version {
        self.traces.values().find_map(|trace| trace.member.as_ref()).map(|member| member.version).unwrap_or_default()
    }

    /// Receipt of the newest signal.
    pub fn received_until(&self) -> i64 {
        self.traces.values().map(|trace| trace.received_until).max().unwrap_or(0)
    }
}
