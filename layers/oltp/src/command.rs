//! Commands: what may be asked of the store. They are also the bodies of the API, so each field is documented for its users.
//!
//! A command names things by *their* codes and numbers; the store answers with ours.

use model::{Decimal, IdentityKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// One command.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub enum Command {
    /// Create or update a store.
    Store(PutStore),
    /// Create or update a product.
    Product(PutProduct),
    /// Create or update a SKU.
    Sku(PutSku),
    /// Create or update a member.
    Member(PutMember),
    /// Create or update an order with its lines and payments.
    Order(PutOrder),
    /// Record a return.
    Return(PutReturn),
}

/// A place of sale.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutStore {
    /// Your code of the store; identifies it.
    #[schema(example = "367")]
    pub store_code: String,
    /// Name.
    pub name: String,
    /// physical (default), web or marketplace.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub store_type: Option<String>,
    /// IANA time zone of its business day, such as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A product (SPU).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutProduct {
    /// Your code of the product; identifies it.
    #[schema(example = "1039126")]
    pub product_code: String,
    /// Title.
    pub title: String,
    /// Brand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// active (default) or archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A sellable variant of a product.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSku {
    /// Your code of the SKU; identifies it.
    #[schema(example = "1039126")]
    pub sku_code: String,
    /// Code of its product, which must exist.
    pub product_code: String,
    /// GTIN-8, -12, -13 or -14 with a valid check digit; stored as 14 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<String>,
    /// Unit of measure; `each` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// List price in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_price_minor: Option<i64>,
    /// ISO 4217 code of the list price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Whether it can be sold; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A way in which a member is recognised.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityValue {
    /// email, phone, card, anonymous or external.
    #[schema(value_type = String, example = "email")]
    pub kind: IdentityKind,
    /// The value.
    #[schema(example = "ann@example.com")]
    pub value: String,
}

/// Consent for one purpose on one channel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentValue {
    /// marketing, personalisation, analytics or ads_sharing.
    #[schema(example = "marketing")]
    pub purpose: String,
    /// email, sms, push, phone, post, ads or web.
    #[schema(example = "email")]
    pub channel: String,
    /// granted, denied or revoked.
    #[schema(example = "granted")]
    pub status: String,
    /// Since when; now when absent. An older status than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub status_at: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
    /// Where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A member. In an update of a known member, what is left out stays as it is: members are put together from many channels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMember {
    /// Your number of the member; identifies it.
    #[schema(example = "household-1")]
    pub member_no: String,
    /// active (default), suspended or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// First name. Personal: kept apart, never on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Birth date, `YYYY-MM-DD`. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub birth_date: Option<jiff::civil::Date>,
    /// Tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_code: Option<String>,
    /// When the member joined; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub enrolled_at: Option<Timestamp>,
    /// Where the member joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol_channel: Option<String>,
    /// Code of the home store, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_store_code: Option<String>,
    /// BCP 47 language tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA time zone; quiet hours follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Identities to add. One that another member holds is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityValue>,
    /// Consents to record; each goes by its own time, also where `source_updated_at` is older than what is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<ConsentValue>,
    /// Anything else that is not personal.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one adds identities and consents, and changes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A line of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLineValue {
    /// Number of the line within the order, from 1.
    pub line_no: i32,
    /// Code of the SKU, which must exist.
    pub sku_code: String,
    /// Quantity, a decimal text with up to four decimals; not negative (goods that come back are a return).
    #[schema(value_type = String, example = "1")]
    pub quantity: Decimal,
    /// Price of one unit in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_minor: Option<i64>,
    /// Extended amount before discounts, in minor units; quantity × unit price, rounded half away from zero, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross_minor: Option<i64>,
    /// Discounts on the line, in minor units, not negative.
    #[serde(default)]
    pub discount_minor: i64,
    /// Taxes of the line on top of the net amount, in minor units.
    #[serde(default)]
    pub tax_minor: i64,
    /// Whether the cashier voided the line; it then counts for nothing.
    #[serde(default)]
    pub voided: bool,
    /// Text of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A tender of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentValue {
    /// Number of the tender within the order, from 1.
    pub payment_no: i32,
    /// cash, card, gift_card, points, wallet, bnpl or other.
    pub tender_type: String,
    /// Amount in minor units of the order's currency.
    pub amount_minor: i64,
    /// authorised, captured (default), failed or voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The processor's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_ref: Option<String>,
    /// When the money was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub captured_at: Option<Timestamp>,
}

/// An order or till receipt, whole: a repeat with other lines replaces the lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutOrder {
    /// System that the number comes from; `(source, order_no)` identifies the order.
    #[schema(example = "till")]
    pub source: String,
    /// Number of the order or receipt.
    #[schema(example = "367-20170101-31198570044")]
    pub order_no: String,
    /// pos, ecom or marketplace.
    #[schema(example = "pos")]
    pub channel: String,
    /// Code of the store, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// Your number of the member who bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_no: Option<String>,
    /// An identity of the buyer: names the member if one holds it, else stays as the guest's contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<IdentityValue>,
    /// The visitor who placed it on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// Business day, `YYYY-MM-DD`; the day of `placed_at` in the store's time zone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub business_date: Option<jiff::civil::Date>,
    /// When it was placed. At most one day in the future.
    #[schema(value_type = String, format = "date-time")]
    pub placed_at: Timestamp,
    /// ISO 4217 code of all amounts.
    #[schema(example = "USD")]
    pub currency: String,
    /// pending, paid (default), partially_fulfilled, fulfilled or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Lines: 1 to 1,000.
    pub lines: Vec<OrderLineValue>,
    /// Tenders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<PaymentValue>,
    /// Shipping in minor units.
    #[serde(default)]
    pub shipping_minor: i64,
    /// Coupon codes used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupon_codes: Vec<String>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A line of a return.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnLineValue {
    /// Number of the order's line that comes back.
    pub line_no: i32,
    /// Quantity, at most what was sold and not yet returned.
    #[schema(value_type = String, example = "1")]
    pub quantity: Decimal,
    /// Net amount given back, in minor units; the line's share by quantity, rounded half away from zero, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_minor: Option<i64>,
}

/// A return of goods.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutReturn {
    /// System that the number comes from; `(source, return_no)` identifies the return.
    pub source: String,
    /// Number of the return.
    pub return_no: String,
    /// Source of the order.
    pub order_source: String,
    /// Number of the order.
    pub order_no: String,
    /// Code of the store that took the goods back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    pub returned_at: Timestamp,
    /// Business day; the day of `returned_at` in the store's time zone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub business_date: Option<jiff::civil::Date>,
    /// requested, completed (default) or rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Lines: 1 to 1,000.
    pub lines: Vec<ReturnLineValue>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// Who asks, for the audit log and for idempotency.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// Id of the key, or name of the part of the house: no two callers have the same.
    pub actor: String,
    /// Why, if the caller said so.
    pub reason: Option<String>,
    /// The request.
    pub request_id: String,
    /// The caller's key of this command: a repeat with the same key gets the first answer.
    pub idempotency_key: Option<String>,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A new record.
    Created,
    /// A change of a record.
    Updated,
    /// Nothing: the record was so already, or the update was older than it.
    Unchanged,
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Our id of the record.
    pub id: Uuid,
    /// What happened.
    pub effect: Effect,
    /// Whether this is the stored answer to an earlier command with the same idempotency key.
    pub repeated: bool,
    /// The record's version after the command.
    pub row_version: i64,
}
