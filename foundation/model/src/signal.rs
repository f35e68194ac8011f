//! Resolved signals (`derived.signals`): every signal with the person it belongs to, joined with product and store.

use crate::ids::PersonId;
use crate::{BehaviourEvent, Decimal, Timestamp};
use serde::{Deserialize, Serialize};

/// The narrowest origin that a signal can be pinned to for ever: one anonymous id, user id, guest contact or member.
///
/// `a:<anonymous id>`, `u:<user id>`, `c:<contact token>` or `m:<member id>`. A person is a set of traces; merging and
/// un-merging people moves whole traces, and never rewrites a signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceId(pub String);

impl TraceId {
    /// The person that a trace is as long as nothing links it to anybody.
    #[must_use]
    pub fn alone(&self) -> PersonId {
        PersonId(self.0.clone())
    }
}

/// The record that caused another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Topic of the record.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// A signal on its way to the fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Whose fold takes it.
    pub person: PersonId,
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When the house first had it: receipt for events, commit for facts. Freshness is measured from here.
    pub received_at: Timestamp,
    /// The record that it comes from.
    pub cause: Cause,
    /// What it says.
    pub body: Body,
}

/// What a signal says. Written as `{"<kind>": {…}}`: a tag beside the fields would make every reader parse the body twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A visitor did something.
    Event {
        /// The event.
        event: Box<BehaviourEvent>,
        /// The product it names, where the house knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<ProductJoin>,
    },
    /// An order as it stands now; replaces what was known of it.
    Order(OrderFact),
    /// A return as it stands now; replaces what was known of it.
    Return(ReturnFact),
    /// A member as it stands now.
    Member(MemberFact),
    /// This fact no longer belongs to this trace: forget what it contributed.
    Forget {
        /// `order:<id>` or `return:<id>`.
        fact: String,
        /// Version of the change that moved it away.
        version: (u64, u64),
    },
    /// This trace now belongs to somebody else: hand its state over.
    Detach {
        /// The new owner.
        to: PersonId,
        /// Number of this move of the trace; later moves have higher numbers.
        move_no: u64,
    },
    /// A trace's state, handed over by its former owner.
    Handover {
        /// Number of the move that caused it.
        move_no: u64,
        /// The encoded state of the trace, base64.
        state: String,
    },
}

/// Product attributes joined to a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductJoin {
    /// Our code of the product.
    pub product_code: String,
    /// The variant, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku_code: Option<String>,
    /// Category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Brand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
}

/// What an order contributes to its person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFact {
    /// The order.
    pub order_id: uuid::Uuid,
    /// Version of the change, `(lsn, seq)`: the higher one is the truth.
    pub version: (u64, u64),
    /// Status; cancelled orders contribute nothing.
    pub status: String,
    /// Channel: pos, ecom, marketplace.
    pub channel: String,
    /// Store code, where the order has a store.
    pub store_code: Option<String>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Units sold.
    pub units: Decimal,
    /// Net amount (gross less discount, without tax and shipping) in minor units.
    pub net_minor: i64,
    /// Currency.
    pub currency: String,
}

/// What a return takes away from its person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnFact {
    /// The return.
    pub return_id: uuid::Uuid,
    /// Number of what is said of the return: the higher one is the truth. It also rises when the return moves with its order.
    pub version: (u64, u64),
    /// The order that the goods came from.
    pub order_id: uuid::Uuid,
    /// Status; only `completed` returns take away.
    pub status: String,
    /// Units returned.
    pub units: Decimal,
    /// Net amount returned, in minor units.
    pub net_minor: i64,
}

/// What processing knows of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFact {
    /// Version of the change.
    pub version: (u64, u64),
    /// Status: active, suspended, closed, merged, erased.
    pub status: String,
    /// When the member joined.
    pub enrolled_at: Timestamp,
    /// Tier, where the programme has tiers.
    pub tier_code: Option<String>,
}
