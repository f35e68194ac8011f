//! Orders and returns: which trace each is pinned to, and what follows when that changes.
//!
//! An order keeps its returns beside it, so that a return finds its trace whichever of the two comes first, and moves with it.

use super::owners::Version;
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use model::Timestamp;
use model::row::{SalesOrder, SalesReturn};
use model::signal::{Body, OrderFact, ReturnFact};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Namespace of orders with their returns.
pub const ORDERS: &str = "processing.identify.orders";
/// Namespace of returns: the order of each.
pub const RETURNS: &str = "processing.identify.returns";
/// Layout of an entry; raise it with every change of the structs.
const LAYOUT: u8 = 2;

/// What is remembered of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    version: Version,
    trace: Option<String>,
    received_at: Option<Timestamp>,
    fact: Option<OrderFact>,
    /// How much was said of returns so far. It numbers what is said: a return that moves away and back with its order has no new
    /// version of its own.
    said: u64,
    /// Returns: the fact with its row's version, when it happened, when the house first had it.
    returns: BTreeMap<Uuid, (ReturnFact, Timestamp, Timestamp)>,
}

/// What is remembered of a return by itself: a delete of it names nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    /// Its order, as long as the return is there.
    order: Option<Uuid>,
    /// Version of its row.
    version: Version,
}

impl Pointer {
    fn load(state: &Overlay, id: Uuid) -> Result<Self, ProcessingError> {
        let bytes = state.get(RETURNS, id.as_bytes())?;
        Ok(bytes.map(|bytes| codec::decode(RETURNS, LAYOUT, &bytes)).transpose()?.unwrap_or_default())
    }

    fn keep(&self, state: &mut Overlay, id: Uuid) -> Result<(), ProcessingError> {
        let value = codec::encode(RETURNS, LAYOUT, self)?;
        state.put(RETURNS, Bytes::copy_from_slice(id.as_bytes()), Some(value));
        Ok(())
    }
}

/// A signal to be sent, but for its person.
#[derive(Debug, PartialEq)]
pub struct Sent {
    /// Its trace.
    pub trace: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the house first had it.
    pub received_at: Timestamp,
    /// What it says.
    pub body: Body,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A newer version was seen before.
    Stale,
    /// It belongs to nobody.
    Nobody,
    /// A return waits for its order.
    Waiting,
}

/// The trace of an order.
pub fn trace_of(order: &SalesOrder) -> Option<String> {
    let member = order.member_id.map(|member| format!("m:{member}"));
    let contact = || order.contact.as_ref().map(|contact| format!("c:{contact}"));
    member.or_else(contact).or_else(|| order.anonymous_id.as_ref().map(|device| format!("a:{device}")))
}

fn load(state: &Overlay, order: Uuid) -> Result<Entry, ProcessingError> {
    let damaged = |reason: String| ProcessingError::Damaged { namespace: ORDERS, reason };
    match state.get(ORDERS, order.as_bytes())? {
        None => Ok(Entry::default()),
        Some(bytes) => match bytes.split_first() {
            Some((&LAYOUT, rest)) => serde_json::from_slice(rest).map_err(|error| damaged(error.to_string())),
            Some((&found, _)) => Err(ProcessingError::Layout { namespace: ORDERS, found, expected: LAYOUT }),
            None => Err(damaged("it is empty".to_owned())),
        },
    }
}

fn store(state: &mut Overlay, order: Uuid, entry: &Entry) -> Result<(), ProcessingError> {
    let mut bytes = vec![LAYOUT];
    let written = serde_json::to_writer(&mut bytes, entry);
    written.map_err(|error| ProcessingError::Damaged { namespace: ORDERS, reason: error.to_string() })?;
    state.put(ORDERS, Bytes::copy_from_slice(order.as_bytes()), Some(Bytes::from(bytes)));
    Ok(())
}

impl Entry {
    fn order(&self) -> Option<Sent> {
        let fact = self.fact.clone()?;
        let (trace, received_at) = (self.trace.clone()?, self.received_at?);
        Some(Sent { trace, occurred_at: fact.placed_at, received_at, body: Body::Order(fact) })
    }

    fn returned(&mut self, id: Uuid) -> Option<Sent> {
        let (mut fact, occurred_at, received_at) = self.returns.get(&id)?.clone();
        let trace = self.trace.clone()?;
        self.said += 1;
        fact.version = (self.said, 0);
        Some(Sent { trace, occurred_at, received_at, body: Body::Return(fact) })
    }

    /// What the trace has to forget.
    fn forget(&mut self, order: Uuid, version: Version, at: Timestamp) -> Vec<Sent> {
        let Some(trace) = self.trace.clone() else { return Vec::new() };
        self.said += 1;
        let returns = self.returns.keys().map(|id| forget(&trace, format!("return:{id}"), (self.said, 0), at));
        [forget(&trace, format!("order:{order}"), version, at)].into_iter().chain(returns).collect()
    }
}

/// Tells a trace to forget a fact.
pub fn forget(trace: &str, fact: String, version: Version, at: Timestamp) -> Sent {
    Sent { trace: trace.to_owned(), occurred_at: at, received_at: at, body: Body::Forget { fact, version } }
}

/// An order as it stands now.
///
/// # Errors
/// When the state cannot be read.
pub fn order(
    state: &mut Overlay,
    row: &SalesOrder,
    version: Version,
    received_at: Timestamp,
    store_code: Option<&str>,
) -> Result<Result<Vec<Sent>, Silence>, ProcessingError> {
    let mut entry = load(state, row.order_id)?;
    let trace = trace_of(row);
    if entry.version >= version {
        // Its trace hears of it all the same, as it would have had the versions come in order.
        let elsewhere = trace.filter(|trace| entry.version > version && entry.trace.as_ref() != Some(trace));
        let forget =
            elsewhere.map(|trace| forget(&trace, format!("order:{}", row.order_id), entry.version, received_at));
        return Ok(forget.map(|forget| vec![forget]).ok_or(Silence::Stale));
    }
    let mut sent = Vec::new();
    let new_owner = entry.trace != trace;
    if new_owner {
        sent = entry.forget(row.order_id, version, received_at);
    }
    entry.version = version;
    entry.trace = trace;
    entry.received_at = Some(received_at);
    entry.fact = Some(fact_of(row, version, store_code));
    sent.extend(entry.order());
    if new_owner {
        let returns: Vec<Uuid> = entry.returns.keys().copied().collect();
        sent.extend(returns.into_iter().filter_map(|id| entry.returned(id)));
    }
    store(state, row.order_id, &entry)?;
    Ok(if sent.is_empty() { Err(Silence::Nobody) } else { Ok(sent) })
}

fn fact_of(row: &SalesOrder, version: Version, store_code: Option<&str>) -> OrderFact {
    OrderFact {
        order_id: row.order_id,
        version,
        status: row.status.clone(),
        channel: row.channel.clone(),
        store_code: store_code.map(str::to_owned),
        placed_at: row.placed_at,
        units: row.units,
        net_minor: row.net_minor,
        currency: row.currency.clone(),
    }
}

/// An order is gone, unless a newer version of it is known.
///
/// # Errors
/// When the state cannot be read.
pub fn order_gone(
    state: &mut Overlay,
    id: Uuid,
    version: Version,
    received_at: Timestamp,
) -> Result<Vec<Sent>, ProcessingError> {
    let mut entry = load(state, id)?;
    if entry.version >= version {
        return Ok(Vec::new());
    }
    let sent = entry.forget(id, version, received_at);
    entry = Entry { version, returns: entry.returns, said: entry.said, ..Entry::default() };
    store(state, id, &entry)?;
    Ok(sent)
}

/// A return as it stands now.
///
/// # Errors
/// When the state cannot be read.
pub fn returned(
    state: &mut Overlay,
    row: &SalesReturn,
    version: Version,
    received_at: Timestamp,
) -> Result<Result<Sent, Silence>, ProcessingError> {
    let known = Pointer::load(state, row.return_id)?;
    if known.version >= version {
        return Ok(Err(Silence::Stale));
    }
    Pointer { order: row.order_id, version }.keep(state, row.return_id)?;
    // What comes back without a receipt takes nothing from what an order had told.
    let Some(order) = row.order_id else { return Ok(Err(Silence::Nobody)) };
    let mut entry = load(state, order)?;
    let fact = ReturnFact {
        return_id: row.return_id,
        version,
        order_id: order,
        status: row.status.clone(),
        units: row.units,
        net_minor: row.net_minor,
    };
    entry.returns.insert(row.return_id, (fact, row.returned_at, received_at));
    let silence = if entry.fact.is_some() { Silence::Nobody } else { Silence::Waiting };
    let sent = entry.returned(row.return_id).ok_or(silence);
    store(state, order, &entry)?;
    Ok(sent)
}

/// A return is gone, unless a newer version of it is known.
///
/// # Errors
/// When the state cannot be read.
pub fn return_gone(
    state: &mut Overlay,
    id: Uuid,
    version: Version,
    received_at: Timestamp,
) -> Result<Option<Sent>, ProcessingError> {
    let known = Pointer::load(state, id)?;
    if known.version >= version {
        return Ok(None);
    }
    Pointer { order: None, version }.keep(state, id)?;
    let Some(order) = known.order else { return Ok(None) };
    let mut entry = load(state, order)?;
    entry.returns.remove(&id);
    entry.said += 1;
    let fact = format!("return:{id}");
    let sent = entry.trace.as_deref().map(|trace| forget(trace, fact, (entry.said, 0), received_at));
    store(state, order, &entry)?;
    Ok(sent)
}
