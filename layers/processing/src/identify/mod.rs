//! Stage `identify`: drops repeats, pins every signal to a trace, finds the trace's person, joins product and store.

mod claims;
mod emptied;
mod facts;
mod graph;
mod owners;
mod tables;

use crate::ProcessingError;
use crate::fold::record;
use crate::incoming::Event;
use crate::metrics::{self, Counts};
use crate::overlay::Overlay;
use crate::run::{Stage, Work};
use async_trait::async_trait;
use bus::{Bus, NewRecord, Record, TopicPartition};
use bytes::Bytes;
use claims::{IDENTITIES, MEMBERS, Said};
use emptied::{Emptied, EmptiedTables, Rest};
use facts::{Sent, Silence};
use graph::{Graph, Move};
use model::behaviour::EventType;
use model::derived::Link;
use model::ids::PersonId;
use model::row;
use model::signal::{Body, Cause, MemberFact, ProductJoin, Signal, TraceId};
use model::{IdentityKind, Op, Timestamp, topic};
use owners::{Claim, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tables::{Coded, Table, Tables};
use uuid::Uuid;

/// Namespace of events seen; the key is the first half of the SHA-256 of source and message id.
const MESSAGES: &str = "processing.identify.messages";
/// Rows of an emptied table looked at in one step.
const SLICE: usize = 1_000;
/// Bytes of an id; what is longer is no id.
const ID_MAX: usize = 1_000;

/// The stage.
pub struct Identify {
    state: Overlay,
    graph: Graph,
    tables: Tables,
    emptied: EmptiedTables,
    produce: Vec<NewRecord>,
    counts: Counts,
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
    #[serde(default)]
    snapshot: bool,
}

/// What `capture.progress` says of a snapshot.
#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, default)]
    snapshot: Option<&'a str>,
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

    /// The key of a row that is gone. Under `REPLICA IDENTITY DEFAULT` the former image holds nothing else.
    fn key(&self, column: &str) -> Result<Option<Uuid>, serde_json::Error> {
        let Some(before) = self.before else { return Ok(None) };
        let row: HashMap<String, &RawValue> = serde_json::from_str(before.get())?;
        row.get(column).map(|id| serde_json::from_str(id.get())).transpose()
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
    pub fn new(bus: &Arc<dyn Bus>) -> Self {
        Self {
            state: Overlay::new(Arc::clone(bus)),
            graph: Graph::default(),
            tables: Tables::default(),
            emptied: EmptiedTables::default(),
            produce: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn take_in(&mut self, record: &Record) -> Result<(), Failure> {
        let Some(value) = &record.value else { return Ok(()) };
        let cause = Cause { topic: record.at.topic.clone(), partition: record.at.partition, offset: record.offset };
        match record.at.topic.as_str() {
            topic::EVENTS => return self.event(value, &cause),
            topic::CAPTURE_PROGRESS => {
                let progress: Progress<'_> = serde_json::from_slice(value)?;
                if progress.snapshot == Some("complete") {
                    self.emptied.snapshot_complete(&mut self.state)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let change: ChangeRead<'_> = serde_json::from_slice(value)?;
        if change.op == Op::Truncate {
            let snapshot = change.source.snapshot;
            return Ok(self.emptied.note(&mut self.state, change.version(), snapshot, &cause)?);
        }
        if self.emptied.took(&cause.topic, change.version()) {
            self.counts.count(metrics::STALE, 1);
            return Ok(());
        }
        let (tables, state) = (&mut self.tables, &mut self.state);
        match cause.topic.as_str() {
            "crm.store" => coded::<row::Store, _>(&change, state, &mut tables.stores, |row| row.store_id, "store_id"),
            "crm.product" => {
                coded::<row::Product, _>(&change, state, &mut tables.products, |row| row.product_id, "product_id")
            }
            "crm.sku" => coded::<row::Sku, _>(&change, state, &mut tables.skus, |row| row.sku_id, "sku_id"),
            "crm.member" => self.member(&change, &cause),
            "crm.member_identity" => self.identity(&change, &cause),
            "crm.sales_order" => self.order(&change, &cause),
            "crm.sales_return" => self.returned(&change, &cause),
            _ => Ok(()),
        }
    }

    fn member(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (version, received_at) = (change.version(), change.received_at());
        let Some(row) = change.row::<row::Member>()? else {
            let Some(id) = change.key("member_id")? else { return Ok(()) };
            return Ok(self.member_gone(id, version, received_at, cause)?);
        };
        let node = row.member_no.as_ref().map(|number| format!("u:{number}"));
        // The number of a member that was merged leads to whoever has all that it had, until that is undone.
        let owner = row.merged_into_member_id.unwrap_or(row.member_id);
        if !self.claims(MEMBERS, row.member_id, version, node.map(|node| (node, owner)))? {
            self.counts.count(metrics::STALE, 1);
            return Ok(());
        }
        self.tell_moves(received_at, received_at, cause)?;
        let fact = MemberFact { version, status: row.status, enrolled_at: row.enrolled_at, tier_code: row.tier_code };
        let trace = format!("m:{}", row.member_id);
        Ok(self.send(Sent { trace, occurred_at: received_at, received_at, body: Body::Member(fact) }, cause)?)
    }

    fn member_gone(&mut self, id: Uuid, version: Version, at: Timestamp, cause: &Cause) -> Result<(), ProcessingError> {
        if !self.claims(MEMBERS, id, version, None)? {
            return Ok(());
        }
        self.tell_moves(at, at, cause)?;
        self.send(facts::forget(&format!("m:{id}"), format!("member:{id}"), version, at), cause)
    }

    fn identity(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (version, received_at) = (change.version(), change.received_at());
        let (id, says) = match change.row::<row::MemberIdentity>()? {
            Some(row) => {
                let node = row.kind.parse().ok().and_then(|kind| node_of(kind, &row.token));
                let node = node.filter(|_| row.strength == "strong");
                (row.identity_id, node.map(|node| (node, row.member_id)))
            }
            None => match change.key("identity_id")? {
                Some(id) => (id, None),
                None => return Ok(()),
            },
        };
        if !self.claims(IDENTITIES, id, version, says)? {
            self.counts.count(metrics::STALE, 1);
        }
        Ok(self.tell_moves(received_at, received_at, cause)?)
    }

    /// A row claims a node for a member, and what it claimed before it claims no more; false when a newer version is known.
    fn claims(
        &mut self,
        of: &'static str,
        row: Uuid,
        version: Version,
        says: Option<(String, Uuid)>,
    ) -> Result<bool, ProcessingError> {
        let known = Said::load(&self.state, of, row)?;
        if known.as_ref().is_some_and(|known| known.version >= version) {
            return Ok(false);
        }
        let now = Said { version, claim: says };
        now.keep(&mut self.state, of, row)?;
        // A number is a weaker claim than an identity.
        let claim = |member, live| Claim { row, member, version, weak: of == MEMBERS, live };
        if let Some((node, member)) = known.and_then(|known| known.claim)
            && now.claim.as_ref().is_none_or(|(now, _)| *now != node)
        {
            self.graph.claim(&self.state, &node, claim(member, false))?;
        }
        if let Some((node, member)) = &now.claim {
            self.graph.claim(&self.state, node, claim(*member, true))?;
        }
        Ok(true)
    }

    fn order(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (version, received_at) = (change.version(), change.received_at());
        let Some(row) = change.row::<row::SalesOrder>()? else {
            let Some(id) = change.key("order_id")? else { return Ok(()) };
            let gone = facts::order_gone(&mut self.state, id, version, received_at)?;
            return Ok(self.send_all(gone, cause)?);
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
            Ok(sent) => self.send_all(sent, cause)?,
            Err(silence) => self.silent(silence),
        }
        Ok(())
    }

    fn returned(&mut self, change: &ChangeRead<'_>, cause: &Cause) -> Result<(), Failure> {
        let (version, received_at) = (change.version(), change.received_at());
        let Some(row) = change.row::<row::SalesReturn>()? else {
            let Some(id) = change.key("return_id")? else { return Ok(()) };
            let gone = facts::return_gone(&mut self.state, id, version, received_at)?;
            return Ok(self.send_all(gone, cause)?);
        };
        match facts::returned(&mut self.state, &row, version, received_at)? {
            Ok(sent) => self.send(sent, cause)?,
            Err(silence) => self.silent(silence),
        }
        Ok(())
    }

    fn silent(&mut self, silence: Silence) {
        match silence {
            Silence::Stale => self.counts.count(metrics::STALE, 1),
            Silence::Nobody => self.counts.count(metrics::NOBODY, 1),
            Silence::Waiting => {}
        }
    }

    /// Takes back some of what came of the rows of an emptied table.
    fn follow_emptied(&mut self, now: i64, most: usize) -> Result<(), ProcessingError> {
        let Some((emptied, from)) = self.emptied.next() else { return Ok(()) };
        let (version, cause, at) = (emptied.version, &emptied.cause, crate::time(now));
        let namespace = match cause.topic.as_str() {
            "crm.store" => return self.emptied_at_once(emptied, |tables, state| tables.stores.empty(state, version)),
            "crm.product" => {
                return self.emptied_at_once(emptied, |tables, state| tables.products.empty(state, version));
            }
            "crm.sku" => return self.emptied_at_once(emptied, |tables, state| tables.skus.empty(state, version)),
            "crm.member" => MEMBERS,
            "crm.member_identity" => IDENTITIES,
            "crm.sales_order" => facts::ORDERS,
            _ => facts::RETURNS,
        };
        let slice = most.min(SLICE);
        let keys = self.state.keys(namespace, &from, slice)?;
        for id in keys.iter().filter_map(|key| Uuid::from_slice(key).ok()) {
            match namespace {
                MEMBERS => self.member_gone(id, version, at, cause)?,
                IDENTITIES => {
                    self.claims(IDENTITIES, id, version, None)?;
                    self.tell_moves(at, at, cause)?;
                }
                facts::ORDERS => {
                    let gone = facts::order_gone(&mut self.state, id, version, at)?;
                    self.send_all(gone, cause)?;
                }
                _ => {
                    let gone = facts::return_gone(&mut self.state, id, version, at)?;
                    self.send_all(gone, cause)?;
                }
            }
        }
        let last = keys.last().filter(|_| keys.len() == slice);
        let rest = last.map_or(Rest::Nothing, |last| Rest::From([last, &[0][..]].concat()));
        self.emptied.keep(&mut self.state, Emptied { rest, ..emptied })
    }

    /// A table that is held in memory.
    fn emptied_at_once(
        &mut self,
        emptied: Emptied,
        empty: impl FnOnce(&mut Tables, &mut Overlay) -> Result<(), ProcessingError>,
    ) -> Result<(), ProcessingError> {
        empty(&mut self.tables, &mut self.state)?;
        self.emptied.keep(&mut self.state, Emptied { rest: Rest::Nothing, ..emptied })
    }

    fn event(&mut self, value: &[u8], cause: &Cause) -> Result<(), Failure> {
        let raw: &RawValue = serde_json::from_slice(value)?;
        let event: Event<'_> = serde_json::from_str(raw.get())?;
        let digest = Sha256::digest([event.source.as_bytes(), &[0], event.message_id.as_bytes()].concat());
        let key = &digest[..16];
        if self.state.get(MESSAGES, key)?.is_some() {
            self.counts.count(metrics::DUPLICATE, 1);
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
            self.counts.count(metrics::NOBODY, 1);
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
        let nodes = event.identities.iter().filter_map(|identity| node_of(identity.kind, &identity.token));
        let nodes: BTreeSet<String> = nodes.filter(|node| !node.starts_with("a:")).collect();
        match user {
            Some(user) => nodes.iter().try_for_each(|node| self.graph.bond(&self.state, user, node, false, at))?,
            None => {
                // They are one person's, so it matters little which of them the device is linked to; but it must be the same one,
                // in whatever order events come.
                for (one, other) in nodes.iter().zip(nodes.iter().skip(1)) {
                    self.graph.bond(&self.state, one, other, false, at)?;
                }
                if let (Some(device), Some(last)) = (device, nodes.last()) {
                    self.graph.seen_with(&mut self.state, device, last, at, (0, 0))?;
                }
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
            self.counts.count(metrics::MOVED, 1);
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

    fn send_all(&mut self, sent: impl IntoIterator<Item = Sent>, cause: &Cause) -> Result<(), ProcessingError> {
        sent.into_iter().try_for_each(|sent| self.send(sent, cause))
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

/// A row of a table that is held in memory.
fn coded<R, T>(
    change: &ChangeRead<'_>,
    state: &mut Overlay,
    table: &mut Table<T>,
    id: impl FnOnce(&R) -> Uuid,
    key: &str,
) -> Result<(), Failure>
where
    R: DeserializeOwned + Into<T>,
    T: Coded,
{
    match change.row::<R>()? {
        Some(row) => table.put(state, id(&row), change.version(), Some(row.into()))?,
        None => {
            if let Some(id) = change.key(key)? {
                table.put(state, id, change.version(), None)?;
            }
        }
    }
    Ok(())
}

/// The node of an identity.
fn node_of(kind: IdentityKind, token: &str) -> Option<String> {
    if token.is_empty() || token.len() > ID_MAX {
        return None;
    }
    Some(match kind {
        // They never decide alone.
        IdentityKind::RelayEmail | IdentityKind::Device => return None,
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
            // The end of a snapshot is taken in after the rows of it.
            topic::CAPTURE_PROGRESS => 3,
            _ => 2,
        }
    }

    async fn assigned(&mut self, _bus: &Arc<dyn Bus>, _partitions: &[TopicPartition]) -> Result<(), ProcessingError> {
        self.state.discard();
        self.graph.clear();
        self.produce.clear();
        self.counts = Counts::default();
        self.emptied = EmptiedTables::load(&self.state)?;
        self.tables = Tables::load(&self.state)?;
        Ok(())
    }

    fn due(&self) -> Option<i64> {
        self.emptied.next().map(|_| i64::MIN)
    }

    fn step(&mut self, records: &[Record], now: i64, most: usize) -> Result<Work, ProcessingError> {
        for record in records {
            match self.take_in(record) {
                Ok(()) => {}
                Err(Failure::Ours(error)) => return Err(error),
                Err(Failure::Unreadable(error)) => {
                    self.counts.fail(metrics::UNREADABLE, crate::incoming::unreadable(record, &error));
                }
            }
        }
        self.follow_emptied(now, most)?;
        self.graph.flush(&mut self.state)?;
        let mut counts = std::mem::take(&mut self.counts);
        let signals = records.iter().filter(|record| record.at.topic != topic::CAPTURE_PROGRESS);
        counts.handled.insert(metrics::IDENTIFIED, signals.count() as u64);
        Ok(Work { state: self.state.take(), produce: std::mem::take(&mut self.produce), counts })
    }

    fn committed(&mut self) {
        self.graph.trim();
    }
}
