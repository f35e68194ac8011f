//! Profiles: the current customer 360 of one person, put together at the read from small documents.

use crate::ServingError;
use crate::batch::Batch;
use crate::placement::{self, Placement};
use bus::TopicPartition;
use model::{Identity, IdentityKind};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Orders, intents and decisions shown of a person, each the newest.
const RECENT: usize = 20;
/// Identities, consents and traces shown of a person.
const MANY: usize = 200;
/// Entries of one look-up key that are looked at; more than one only while a row moves from one member to another.
const ENTRIES: usize = 8;

/// An ordered store of keys and values that remembers what each row wrote.
pub trait ProfileStore: Send + Sync + 'static {
    /// Applies a placement and its positions in one atomic write. An entry older than what its row has changes nothing.
    ///
    /// # Errors
    /// [`ServingError::Store`] when nothing of it was written.
    fn apply(&self, placement: Placement) -> Result<(), ServingError>;

    /// Next offset by partition: what the documents reflect.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError>;

    /// A view of one moment.
    fn view(&self) -> Box<dyn ProfileView>;
}

/// Keys and their values.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The store at one moment.
pub trait ProfileView {
    /// A value.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ServingError>;

    /// Keys and values that begin with a prefix, from a key on, in order, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn prefix(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Pairs, ServingError>;
}

/// How somebody is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By member id, member number or person id.
    Id(String),
    /// By an identity; personal values are tokens.
    By(Identity),
}

/// All profiles.
#[derive(Clone)]
pub struct Profiles {
    store: Arc<dyn ProfileStore>,
}

impl Profiles {
    /// Profiles in a store.
    #[must_use]
    pub fn new(store: Arc<dyn ProfileStore>) -> Self {
        Self { store }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// As [`ProfileStore::apply`].
    pub fn apply(&self, batch: &Batch) -> Result<(), ServingError> {
        self.store.apply(placement::place(batch))
    }

    /// Next offset by partition.
    ///
    /// # Errors
    /// As [`ProfileStore::positions`].
    pub fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError> {
        self.store.positions()
    }

    /// The person that is asked for, whether or not anything is known of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, asked: &Asked) -> Result<Option<String>, ServingError> {
        find(self.store.view().as_ref(), asked)
    }

    /// The profile of a person; none when nothing is known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, person: &str) -> Result<Option<Json>, ServingError> {
        compose(self.store.view().as_ref(), person)
    }

    /// Finds and reads in one view.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answer(&self, asked: &Asked) -> Result<Option<Json>, ServingError> {
        let view = self.store.view();
        find(view.as_ref(), asked)?.map_or(Ok(None), |person| compose(view.as_ref(), &person))
    }

    /// Profiles of the people after one, in the order of their ids, at most `limit`; for the audit.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scan(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Json)>, ServingError> {
        let view = self.store.view();
        let mut from = after.map_or_else(|| vec![b'd'], past);
        let mut found = Vec::new();
        while found.len() < limit {
            let Some((key, _)) = view.prefix(b"d", &from, 1)?.pop() else { break };
            let Some(person) = placement::person_of(&key) else { break };
            from = past(&person);
            found.extend(compose(view.as_ref(), &person)?.map(|profile| (person, profile)));
        }
        Ok(found)
    }
}

/// The first key behind all documents of a person.
fn past(person: &str) -> Vec<u8> {
    let mut key = placement::person_prefix(person);
    if let Some(last) = key.last_mut() {
        *last = 1;
    }
    key
}

fn find(view: &dyn ProfileView, asked: &Asked) -> Result<Option<String>, ServingError> {
    match asked {
        Asked::By(identity) => by_identity(view, identity),
        Asked::Id(id) => {
            if let Ok(uuid) = id.parse::<uuid::Uuid>() {
                let person = format!("m:{uuid}");
                if known(view, &person)? {
                    return Ok(Some(person));
                }
            }
            if let Some(person) = entry(view, "member_no", id)? {
                return Ok(Some(person));
            }
            match id.split_once(':') {
                Some(("m", _)) => Ok(Some(id.clone())),
                Some(("a" | "u" | "c", _)) => by_trace(view, id),
                _ => Ok(None),
            }
        }
    }
}

fn by_identity(view: &dyn ProfileView, identity: &Identity) -> Result<Option<String>, ServingError> {
    if let Some(person) = entry(view, identity.kind.name(), &identity.token)? {
        return Ok(Some(person));
    }
    let trace = match identity.kind {
        IdentityKind::Anonymous => format!("a:{}", identity.token),
        IdentityKind::External => format!("u:{}", identity.token),
        IdentityKind::Email
        | IdentityKind::Phone
        | IdentityKind::Card
        | IdentityKind::RelayEmail
        | IdentityKind::Device => format!("c:{identity}"),
    };
    by_trace(view, &trace)
}

/// The person that a trace belongs to now; a trace that nothing links is a person of its own.
fn by_trace(view: &dyn ProfileView, trace: &str) -> Result<Option<String>, ServingError> {
    if let Some(person) = entry(view, "trace", trace)? {
        return Ok(Some(person));
    }
    Ok(known(view, trace)?.then(|| trace.to_owned()))
}

fn entry(view: &dyn ProfileView, kind: &str, value: &str) -> Result<Option<String>, ServingError> {
    let prefix = placement::index_prefix(kind, value);
    // While a row moves, both members may stand here; the newer row has the later id.
    let found = view.prefix(&prefix, &prefix, ENTRIES)?.pop();
    Ok(found.and_then(|(_, value)| serde_json::from_slice(&value).ok()))
}

fn known(view: &dyn ProfileView, person: &str) -> Result<bool, ServingError> {
    let prefix = placement::person_prefix(person);
    Ok(!view.prefix(&prefix, &prefix, 1)?.is_empty())
}

fn compose(view: &dyn ProfileView, person: &str) -> Result<Option<Json>, ServingError> {
    if !known(view, person)? {
        return Ok(None);
    }
    let one = |part: &str| -> Result<Option<Map<String, Json>>, ServingError> {
        let value = view.get(&placement::document(person, part, &[]))?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    };
    let many = |part: &str, limit: usize| -> Result<Vec<Json>, ServingError> {
        let prefix = placement::document(person, part, &[]);
        let found = view.prefix(&prefix, &prefix, limit)?;
        Ok(found.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
    };
    let mut features = one("features")?.unwrap_or_default();
    let mut tags = one("tags")?.unwrap_or_default();
    let mut cohorts = one("cohorts")?.unwrap_or_default();
    let points = many("points", MANY)?;
    let traces = many("trace", MANY)?;
    // What can be spent; what waits, is reserved or owed has accounts of its own.
    let balance = |kind: &str| {
        if points.is_empty() {
            return Json::Null;
        }
        let accounts = points.iter().filter(|account| account.get("kind").and_then(Json::as_str) == Some(kind));
        Json::from(accounts.filter_map(|account| account.get("balance").and_then(Json::as_i64)).sum::<i64>())
    };
    Ok(Some(json!({
        "person": person,
        "member": one("member")?,
        "identities": many("identity", MANY)?,
        "consents": many("consent", MANY)?,
        "points_balance": balance("member"),
        "points_pending": balance("pending"),
        "points_reserved": balance("reserved"),
        "points_owed": balance("owed"),
        "coupons": many("coupon", RECENT)?,
        "features": features.remove("features").unwrap_or_else(|| json!({})),
        "features_as_of": features.remove("as_of"),
        "tags": tags.remove("tags").unwrap_or_else(|| json!([])),
        "cohorts": cohorts.remove("cohorts").unwrap_or_else(|| json!([])),
        "intents": many("intent", RECENT)?,
        "decisions": many("decision", RECENT)?,
        "orders": orders(view, person, &traces)?,
        "traces": traces,
    })))
}

/// The newest orders of a person: a member's own, and those that were made as a guest by a trace that is theirs.
fn orders(view: &dyn ProfileView, person: &str, traces: &[Json]) -> Result<Vec<Json>, ServingError> {
    let traces = traces.iter().filter_map(|trace| trace.get("trace").and_then(Json::as_str));
    let guests = traces.chain([person]).map(|trace| placement::guest_order(trace, &[]));
    let mut found = BTreeMap::new();
    for prefix in guests.chain([placement::document(person, "order", &[])]) {
        // What follows the prefix sorts the newest first.
        let newest = view.prefix(&prefix, &prefix, RECENT)?;
        found.extend(newest.into_iter().map(|(key, value)| (key.get(prefix.len()..).map(<[u8]>::to_vec), value)));
    }
    Ok(found.values().take(RECENT).filter_map(|value| serde_json::from_slice(value).ok()).collect())
}
