//! Rows that more than one layer reads from `crm.*` topics, typed. Unknown columns are ignored, so the store may grow.

use crate::{Decimal, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

/// `crm.member`
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Key.
    pub member_id: Uuid,
    /// Their number; also what a shop sends as the user id of behaviour events, unless an external identity says otherwise.
    #[serde(default)]
    pub member_no: Option<String>,
    /// Status: active, suspended, closed, merged, erased.
    pub status: String,
    /// The member that this one was merged into, at the end of any chain.
    #[serde(default)]
    pub merged_into_member_id: Option<Uuid>,
    /// Tier.
    pub tier_code: Option<String>,
    /// When the member joined.
    pub enrolled_at: Timestamp,
    /// IANA time zone, for quiet hours.
    pub timezone: Option<String>,
}

/// `crm.member_identity`
#[derive(Clone, Debug, Deserialize)]
pub struct MemberIdentity {
    /// Key.
    pub identity_id: Uuid,
    /// The member.
    pub member_id: Uuid,
    /// Kind: email, phone, card, anonymous, external, relay_email, device.
    pub kind: String,
    /// Token of the value.
    pub token: String,
    /// strong or weak; only strong ones link people.
    pub strength: String,
    /// When it was first seen.
    pub created_at: Timestamp,
}

/// `crm.sales_order`
#[derive(Clone, Debug, Deserialize)]
pub struct SalesOrder {
    /// Key.
    pub order_id: Uuid,
    /// Channel: pos, ecom, marketplace.
    pub channel: String,
    /// Where it was sold.
    pub store_id: Option<Uuid>,
    /// Who bought, if a member.
    pub member_id: Option<Uuid>,
    /// Contact of a guest: `email:<token>` or `phone:<token>`.
    pub contact: Option<String>,
    /// The visitor who placed it on the web, if known.
    pub anonymous_id: Option<String>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Status: pending, paid, partially_fulfilled, fulfilled, cancelled.
    pub status: String,
    /// Units of all lines that count.
    pub units: Decimal,
    /// Gross less discount, in minor units.
    pub net_minor: i64,
    /// Currency.
    pub currency: String,
}

/// `crm.sales_return`
#[derive(Clone, Debug, Deserialize)]
pub struct SalesReturn {
    /// Key.
    pub return_id: Uuid,
    /// The order that the goods came from; none where there was no receipt.
    pub order_id: Option<Uuid>,
    /// Who returned, if a member.
    pub member_id: Option<Uuid>,
    /// Status: requested, completed, rejected.
    pub status: String,
    /// When the goods came back.
    pub returned_at: Timestamp,
    /// Units of all lines.
    pub units: Decimal,
    /// Net amount taken back, in minor units.
    pub net_minor: i64,
}

/// `crm.product`
#[derive(Clone, Debug, Deserialize)]
pub struct Product {
    /// Key.
    pub product_id: Uuid,
    /// Their code.
    pub product_code: String,
    /// Category.
    pub category: Option<String>,
    /// Brand.
    pub brand: Option<String>,
}

/// `crm.sku`
#[derive(Clone, Debug, Deserialize)]
pub struct Sku {
    /// Key.
    pub sku_id: Uuid,
    /// Its product.
    pub product_id: Uuid,
    /// Their code.
    pub sku_code: String,
}

/// `crm.store`
#[derive(Clone, Debug, Deserialize)]
pub struct Store {
    /// Key.
    pub store_id: Uuid,
    /// Their code.
    pub store_code: String,
}

/// `crm.write_key`
#[derive(Clone, Debug, Deserialize)]
pub struct WriteKey {
    /// Key.
    pub write_key_id: Uuid,
    /// The source that it stands for.
    pub name: String,
    /// SHA-256 of the key, hex.
    pub key_hash: String,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}
