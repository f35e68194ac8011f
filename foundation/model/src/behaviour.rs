//! Behaviour events: what visitors did, in one canonical form whatever SDK sent it.

use crate::{Identity, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The kind of call that brought an event, in Segment's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// Something was done.
    Track,
    /// A page was seen.
    Page,
    /// A screen of an app was seen.
    Screen,
    /// A visitor said who they are.
    Identify,
    /// A visitor belongs to a group.
    Group,
    /// Two ids are one person.
    Alias,
}

/// A valid, enriched behaviour event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BehaviourEvent {
    /// The sender's id of the message; repeats are dropped by it.
    pub message_id: String,
    /// Canonical name in snake_case, such as `product_viewed`; for identify, group and alias the type's name.
    pub name: String,
    /// Kind of call.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The visitor's id, made up by the SDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// The visitor's id after login, from the shop's own books.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// For alias: the id used before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<String>,
    /// Identities that the event reveals (e-mail and phone as tokens).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
    /// When it happened, by the sender's clock, repaired by the skew seen at receipt.
    pub occurred_at: Timestamp,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// Where it happened: page, campaign, device, locale.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// What it is about; for identify and group, the traits (personal ones removed).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
    /// Consent as sent with the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Value>,
    /// What the gateway added.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub enrichment: Map<String, Value>,
    /// The source, by the name of its write key.
    pub source: String,
    /// Version of the contract that it was checked by; 0 when no contract names this event.
    #[serde(default)]
    pub contract_version: u32,
}

/// Names of the well-known behaviour signals.
pub mod name {
    /// A page or screen was seen.
    pub const PAGE_VIEW: &str = "page_view";
    /// A product's page was seen.
    pub const PRODUCT_VIEWED: &str = "product_viewed";
    /// A product was put into the cart.
    pub const PRODUCT_ADDED: &str = "product_added";
    /// A product was taken out of the cart.
    pub const PRODUCT_REMOVED: &str = "product_removed";
    /// Checkout began.
    pub const CHECKOUT_STARTED: &str = "checkout_started";
    /// The client says that an order was placed: a signal, never an order.
    pub const ORDER_COMPLETED: &str = "order_completed";
    /// A visitor logged in.
    pub const LOGIN: &str = "login";
    /// A visitor said who they are.
    pub const IDENTIFY: &str = "identify";
    /// Two ids are one person.
    pub const ALIAS: &str = "alias";
}
