//! Derived records: what processing says of a person. Each is the full new value, with its as-of and its cause.

use crate::Timestamp;
use crate::ids::PersonId;
use crate::signal::{Cause, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All features of a person (`derived.features`, key: person).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Whose.
    pub person: PersonId,
    /// Feature name to value: numbers, or text for decimals.
    pub features: Map<String, Value>,
    /// The time at which the windows were evaluated.
    pub as_of: Timestamp,
    /// When the newest signal in it was received: freshness is measured from here.
    pub received_at: Timestamp,
    /// The record that caused it; none when a timer did.
    pub cause: Option<Cause>,
}

/// A tag that a person has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub tag: String,
    /// Since when.
    pub since: Timestamp,
}

/// All tags of a person (`derived.tags`, key: person).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Whose.
    pub person: PersonId,
    /// The tags, by name.
    pub tags: Vec<Tag>,
    /// Evaluated at.
    pub as_of: Timestamp,
    /// The cause.
    pub cause: Option<Cause>,
}

/// All cohorts of a person (`derived.cohorts`, key: person).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohorts {
    /// Whose.
    pub person: PersonId,
    /// Cohort name and when the person entered, as tags.
    pub cohorts: Vec<Tag>,
    /// Evaluated at.
    pub as_of: Timestamp,
    /// The cause.
    pub cause: Option<Cause>,
}

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// It fired; decisions may act on it.
    Fired,
    /// It fired, and later data showed that it should not have.
    Retracted,
}

/// An intent that fired (`derived.intents`, key: intent id, so that firing and retraction stay in order when people merge). It is
/// said again, with the same id, when what it is about belongs to another person; act on an id once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Stable id: the same signals give the same id.
    pub intent_id: uuid::Uuid,
    /// Name, such as `cart_abandoned`.
    pub intent: String,
    /// Whose.
    pub person: PersonId,
    /// Where it stands.
    pub status: IntentStatus,
    /// When the condition was met.
    pub fired_at: Timestamp,
    /// What it is about, such as the cart's products.
    pub detail: Map<String, Value>,
    /// The cause.
    pub cause: Option<Cause>,
}

/// A visit (`derived.sessions`, key: session id; no value when it became part of another).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Stable id, made of the trace and the start.
    pub session_id: uuid::Uuid,
    /// The trace whose events it holds.
    pub trace: TraceId,
    /// Whose, today.
    pub person: PersonId,
    /// First event.
    pub started_at: Timestamp,
    /// Last event.
    pub ended_at: Timestamp,
    /// Events in it.
    pub events: u64,
    /// Product views in it.
    pub product_views: u64,
    /// The cause.
    pub cause: Option<Cause>,
}

/// Who a trace belongs to (`derived.identity`, key: trace). A trace without a link is a person of its own, [`TraceId::alone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The trace.
    pub trace: TraceId,
    /// The person it belongs to now.
    pub person: PersonId,
    /// Number of the move.
    pub move_no: u64,
    /// When the evidence was seen.
    pub since: Timestamp,
    /// The cause.
    pub cause: Option<Cause>,
}
