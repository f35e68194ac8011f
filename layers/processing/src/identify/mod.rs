//! Stage `identify`: drops repeats, pins every signal to a trace, finds the trace's person, joins product and store.

mod facts;
mod graph;
mod owners;
mod tables;

use crate::ProcessingError;
use crate::fold::record;
use crate::incoming::Event;
use crate::metrics;
use crate::overlay::Overlay;
use crate::run::{Stage, Work};
use async_trait::async_trait;
use bus::{Bus, NewRecord, Record, TopicPartition};
use bytes::Bytes;
use facts::{Sent, Silence};
use graph::{Graph, Move};
use model::behaviour::EventType;
use model::derived::Link;
use model::ids::PersonId;
use model::row;
use model::signal::{Body, Cause, MemberFact, ProductJoin, Signal, TraceId};
use model::{IdentityKind, Op, Timestamp, topic};
use owners::{Claim, Version};
use runtime::Meter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tables::{Product, Sku, Store, Tables};

/// Namespace of message ids seen; the key is the first half of their SHA-256.
const MESSAGES: &str = "processing.identify.messages";
/// Bytes of an id; what is longer is no id.
const ID_MAX: usize = 1_000;

/// The stage.
pub struct Identify {
    state: Overlay,
    graph: Graph,
    tables: Tables,
    meter: Meter,
    produce: Vec<NewRecord>,
}

/// A change record, as far as this stage reads it.
#[derive(Deserialize)]
struct ChangeRead<'a> {
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    op: Op,
    source: SourceRead,
}

#[derive(Deserialize)]
struct SourceRead {
    lsn: u64,
    seq: u64,
    ts_us: i64,
}

impl ChangeRead<'_> {
    const fn version(&self) -> Version {
        (self.source.lsn, self.source.seq)
    }

    fn received_at(&self) -> Timestamp {
        crate::time(self.source.ts_us)
    }

    fn row<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.after.map(|row| serde_json::from_str(row.get())).transpose()
    }

    /// The former row; under `REPLICA IDENTITY DEFAULT` it holds the key only and does not read.
    fn former<T: DeserializeOwned>(&self) -> Option<T> {
        self.before.and_then(|row| serde_json::from_str(row.get()).ok())
    }
}

/// An event signal; the event's bytes pass through as they are. Reads as `model::signal::Signal`.
#[derive(Serialize)]
struct EventSignal<'a> {
    person: &'a str,
    trace: &'a str,
    occurred_at: Timestamp,
    received_at: Timestamp,
    cause: &'a Cause,
    body: EventBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EventBody<'a> {
    Event {
        event: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        product: Option<ProductJoin>,
    },
}

/// Why a record was not taken in: its fault, or ours.
enum Failure {
    Unreadable(serde_json::Error),
    Ours(ProcessingError),
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl<E: Into<ProcessingError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

impl Identify {
    /// A stage with nothing in memory.
    pub fn new(bus: &Arc<dyn Bus>, meter: Meter) -> Self {
        let state = Overlay::new(Arc::clone(bus));
        Self { state, graph: Graph::default(), tables: Tables::default(), meter, produce: Vec::new() }
    }

    fn take_in(&mut self, record: &Record) -> Result<(), Failure> {
        let Some(value) = &record.value else { return Ok(()) };
        let cause = Cause { topic: record.at.topic.clone(), partition: record.at.partition, offset: record.offset };
        if record.at.topic == topic::EVENTS {
            return self.event(value, &cause);
        }
        let change: ChangeRead<'_> = serde_json::from_slice(value)?;
        if change.op == Op::Truncate {
            tracing::warn!(target: "processing", topic = record.at.topic, "a table was truncated; what came of its rows stays");
            return Ok(());
        }
        match record.at.topic.as_str() {
            "crm.store" => self.store(&change, &cause),
            "crm.product" => self.product(&change),
            "crm.sku" => self.sku(&change),
            "crm.member" => self.member(&change, &cause),
            "crm.member_identity" => self.identity(&change, &cause),
            "crm.sales_order" => self.order(&change, &cause),
            "crm.sales_return" => self.returned(&change, &cause),
            _ => Ok(()),
        }
    }

    fn store(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let Some(row) = change.row::<row::Store>()? else { return Ok(()) };
        let store = Store { version: change.version(), code: row.store_code.clone() };
        if self.tables.store(&mut self.state, row.store_id, store)? {
            for sent in facts::store_known(&mut self.state, row.store_id, &row.store_code)? {
                self.send(sent, cause)?;
            }
        }
        Ok(())
    }

    fn product(&mut self, change: &ChangeRead<'_>) -> Result<(), Failure> {
        let Some(row) = change.row::<row::Product>()? else { return Ok(()) };
        let product =
            Product { version: change.version(), code: row.product_code, category: row.category, brand: row.brand };
        Ok(self.tables.product(&mut self.state, row.product_id, product)?)
    }

    fn sku(&mut self, change: &ChangeRead<'_>) -> Result<(), Failure> {
        let Some(row) = change.row::<row::Sku>()? else { return Ok(()) };
        let sku = Sku { version: change.version(), code: row.sku_code, product: row.product_id };
        Ok(self.tables.sku(&mut self.state, row.sku_id, sku)?)
    }

    fn member(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (row, former) = (change.row::<row::Member>()?, change.former::<row::Member>());
        let number = |row: &row::Member| Some((format!("u:{}", row.member_no.as_ref()?), row.member_id, row.member_id));
        let (now, then) = (row.as_ref().and_then(number), former.as_ref().and_then(number));
        self.claims(change, now, then, true, cause)?;
        let Some(row) = row else { return Ok(()) };
        let fact = MemberFact {
            version: change.version(),
            status: row.status,
            enrolled_at: row.enrolled_at,
            tier_code: row.tier_code,
        };
        let trace = format!("m:{}", row.member_id);
        let received_at = change.received_at();
        Ok(self.send(Sent { trace, occurred_at: received_at, received_at, body: Body::Member(fact) }, cause)?)
    }

    fn identity(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (row, former) = (change.row::<row::MemberIdentity>()?, change.former::<row::MemberIdentity>());
        let strong = |row: &row::MemberIdentity| {
            let node = node_of(row.kind.parse().ok()?, &row.token)?;
            (row.strength == "strong").then_some((node, row.identity_id, row.member_id))
        };
        let (now, then) = (row.as_ref().and_then(strong), former.as_ref().and_then(strong));
        self.claims(change, now, then, false, cause)
    }

    /// A row claims a node for a member, and what it claimed before it claims no more.
    fn claims(
        &mut self,
        change: &ChangeRead<'_>,
        now: Option<(String, uuid::Uuid, uuid::Uuid)>,
        then: Option<(String, uuid::Uuid, uuid::Uuid)>,
        weak: bool,
        cause: &Cause,
    ) -> Result<(), Failure> {
        let version = change.version();
        if let Some((node, row, member)) = then.filter(|then| now.as_ref().is_none_or(|now| now.0 != then.0)) {
            self.graph.claim(&self.state, &node, Claim { row, member, version, weak, live: false })?;
        }
        if let Some((node, row, member)) = now {
            self.graph.claim(&self.state, &node, Claim { row, member, version, weak, live: true })?;
        }
        Ok(self.tell_moves(change.received_at(), change.received_at(), cause)?)
    }

    fn order(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (version, received_at) = (change.version(), change.received_at());
        let Some(row) = change.row::<row::SalesOrder>()? else {
            #[derive(Deserialize)]
            struct Key {
                order_id: uuid::Uuid,
            }
            if let Some(Key { order_id }) = change.former() {
                for sent in facts::order_gone(&mut self.state, order_id, version, received_at)? {
                    self.send(sent, cause)?;
                }
            }
            return Ok(());
        };
        // Evidence counts even from an old version of the row: else it would matter which version came first.
        if let (Some(device), Some(trace)) = (&row.anonymous_id, facts::trace_of(&row))
            && !trace.starts_with("a:")
        {
            let at = row.placed_at.as_microsecond();
            self.graph.seen_with(&mut self.state, &format!("a:{device}"), &trace, at, version)?;
            self.tell_moves(row.placed_at, received_at, cause)?;
        }
        let store_code = row.store_id.and_then(|id| self.tables.store_code(id));
        match facts::order(&mut self.state, &row, version, received_at, store_code)? {
            Ok(sent) => {
                for sent in sent {
                    self.send(sent, cause)?;
                }
            }
            Err(silence) => self.silent(silence),
        }
        Ok(())
    }

    fn returned(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let Some(row) = change.row::<row::SalesReturn>()? else { return Ok(()) };
        match facts::returned(&mut self.state, &row, change.version(), change.received_at())? {
            Ok(sent) => self.send(sent, cause)?,
            Err(silence) => self.silent(silence),
        }
        Ok(())
    }

    fn silent(&self, silence: Silence) {
        match silence {
            Silence::Stale => self.meter.count(metrics::STALE, 1),
            Silence::Nobody => self.meter.count(metrics::NOBODY, 1),
            Silence::Waiting => {}
        }
    }

    fn event(&mut self, value: &[u8], cause: &Cause) -> Result<(), Failure> {
        let raw: &RawValue = serde_json::from_slice(value)?;
        let event: Event<'_> = serde_json::from_str(raw.get())?;
        let digest = Sha256::digest(event.message_id.as_bytes());
        let key = &digest[..16];
        if self.state.get(MESSAGES, key)?.is_some() {
            self.meter.count(metrics::DUPLICATE, 1);
            return Ok(());
        }
        self.state.put(MESSAGES, Bytes::copy_from_slice(key), Some(Bytes::new()));
        let id = |kind: &str, id: &Option<String>| {
            id.as_ref().filter(|id| !id.is_empty() && id.len() <= ID_MAX).map(|id| format!("{kind}{id}"))
        };
        let (device, user) = (id("a:", &event.anonymous_id), id("u:", &event.user_id));
        self.evidence(&event, device.as_deref(), user.as_deref())?;
        self.tell_moves(event.occurred_at, event.received_at, cause)?;
        let Some(trace) = device.or(user) else {
            self.meter.count(metrics::NOBODY, 1);
            return Ok(());
        };
        let person = self.graph.send_to(&self.state, &trace)?;
        let (product, sku) = (event.properties.product_code(), event.properties.sku_code());
        let signal = EventSignal {
            person: &person,
            trace: &trace,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            cause,
            body: EventBody::Event { event: raw, product: self.tables.join(product.as_deref(), sku.as_deref()) },
        };
        self.produce.push(record(topic::SIGNALS, &person, Some(&signal)));
        Ok(())
    }

    /// What an event says about who is who.
    fn evidence(&mut self, event: &Event<'_>, device: Option<&str>, user: Option<&str>) -> Result<(), ProcessingError> {
        let at = event.occurred_at.as_microsecond();
        if let (Some(device), Some(user)) = (device, user) {
            self.graph.seen_with(&mut self.state, device, user, at, (0, 0))?;
        }
        for identity in &event.identities {
            let Some(node) = node_of(identity.kind, &identity.token).filter(|node| !node.starts_with("a:")) else {
                continue;
            };
            match (user, device) {
                (Some(user), _) => self.graph.bond(&self.state, user, &node, false, at)?,
                (None, Some(device)) => self.graph.seen_with(&mut self.state, device, &node, at, (0, 0))?,
                (None, None) => {}
            }
        }
        if let (EventType::Alias, Some(user), Some(previous)) = (event.kind, user, &event.previous_id)
            && !previous.is_empty()
            && previous.len() <= ID_MAX
        {
            // The id used before may have been a user id or an anonymous one: the call does not say.
            self.graph.bond(&self.state, &format!("u:{previous}"), user, true, at)?;
            self.graph.seen_with(&mut self.state, &format!("a:{previous}"), user, at, (0, 0))?;
        }
        Ok(())
    }

    /// Says who moved, and has the former owners hand over.
    fn tell_moves(&mut self, since: Timestamp, received_at: Timestamp, cause: &Cause) -> Result<(), ProcessingError> {
        for Move { trace, from, to, move_no, signals } in std::mem::take(&mut self.graph.moves) {
            self.meter.count(metrics::MOVED, 1);
            let (trace, to) = (TraceId(trace), PersonId(to));
            if signals {
                let body = Body::Detach { to: to.clone(), move_no };
                self.put(PersonId(from), trace.clone(), since, received_at, cause, body);
            }
            let link = Link { trace, person: to, move_no, since, cause: Some(cause.clone()) };
            self.produce.push(record(topic::IDENTITY, &link.trace.0, Some(&link)));
        }
        Ok(())
    }

    fn send(&mut self, sent: Sent, cause: &Cause) -> Result<(), ProcessingError> {
        let person = PersonId(self.graph.send_to(&self.state, &sent.trace)?);
        self.put(person, TraceId(sent.trace), sent.occurred_at, sent.received_at, cause, sent.body);
        Ok(())
    }

    fn put(
        &mut self,
        person: PersonId,
        trace: TraceId,
        occurred_at: Timestamp,
        received_at: Timestamp,
        cause: &Cause,
        body: Body,
    ) {
        let signal = Signal { person, trace, occurred_at, received_at, cause: cause.clone(), body };
        self.produce.push(record(topic::SIGNALS, &signal.person.0, Some(&signal)));
    }
}

/// The node of an identity.
fn node_of(kind: IdentityKind, token: &str) -> Option<String> {
    if token.is_empty() || token.len() > ID_MAX {
        return None;
    }
    Some(match kind {
        IdentityKind::Anonymous => format!("a:{token}"),
        IdentityKind::External => format!("u:{token}"),
        IdentityKind::Email | IdentityKind::Phone | IdentityKind::Card => format!("c:{kind}:{token}"),
    })
}

#[async_trait]
impl Stage for Identify {
    fn name(&self) -> &'static str {
        metrics::IDENTIFY_STEP
    }

    fn rank(&self, topic: &str) -> u8 {
        match topic {
            "crm.store" | "crm.product" | "crm.sku" => 0,
            "crm.member" | "crm.member_identity" => 1,
            _ => 2,
        }
    }

    async fn assigned(&mut self, _bus: &Arc<dyn Bus>, _partitions: &[TopicPartition]) -> Result<(), ProcessingError> {
        self.state.discard();
        self.graph.clear();
        self.produce.clear();
        self.tables = Tables::load(&self.state)?;
        Ok(())
    }

    fn due(&self) -> Option<i64> {
        None
    }

    fn step(&mut self, records: &[Record], _now: i64) -> Result<Work, ProcessingError> {
        for record in records {
            match self.take_in(record) {
                Ok(()) => {}
                Err(Failure::Ours(error)) => return Err(error),
                Err(Failure::Unreadable(error)) => {
                    self.meter.failed(metrics::UNREADABLE, &crate::incoming::unreadable(record, &error));
                }
            }
        }
        self.graph.flush(&mut self.state)?;
        self.meter.handled(metrics::IDENTIFIED, records.len() as u64);
        Ok(Work { state: self.state.take(), produce: std::mem::take(&mut self.produce) })
    }

    fn committed(&mut self) {
        self.graph.trim();
    }
}
