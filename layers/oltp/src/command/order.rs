//! Orders, their lines and payments.

use super::coupon::{CodeBody, RedemptionValue, check_uses, write_uses};
use super::identity::IdentityValue;
use super::{Asked, Written, write};
use crate::check::{
    AMOUNT_MAX, CODE_MAX, Checked, TEXT_MAX, WORD_MAX, amount, below, between, count, currency, days, number, one_of,
    optional, past, quantity, source, text, version,
};
use crate::error::OltpError;
use crate::order;
use jiff::civil::{Date, date};
use model::{Decimal, IdentityKind, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Statuses of orders.
pub(crate) const ORDER_STATUSES: &[&str] =
    &["pending", "paid", "partially_fulfilled", "fulfilled", "cancelled", "returned"];
/// Types of lines.
const LINE_TYPES: &[&str] = &["sale", "fee", "gift_card", "shipping"];
/// Types of tenders.
pub(crate) const TENDER_TYPES: &[&str] = &["cash", "card", "gift_card", "points", "wallet", "bnpl", "other"];
/// Most lines of an order or a return.
pub(crate) const LINES_MAX: usize = 1000;
/// Most payments of an order, and most refunds of a return.
pub(crate) const PAYMENTS_MAX: usize = 100;
const COUPONS_MAX: usize = 100;

/// A line of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLineValue {
    /// Number of the line within the order, from 1.
    pub line_no: i32,
    /// Code of the SKU, which must exist; each line of type sale has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sku_code: String,
    /// sale (default), fee, gift_card or shipping. Units of an order are those of sale and gift_card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_type: Option<String>,
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
    /// Taxes of the line in minor units: on top of the amounts, or in them where the order says `tax_included`.
    #[serde(default)]
    pub tax_minor: i64,
    /// How much of the quantity was handed over, a decimal text; as the order's status says when no line has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub fulfilled_quantity: Option<Decimal>,
    /// Whether the cashier voided the line; it then counts for nothing.
    #[serde(default)]
    pub voided: bool,
    /// Text of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A tender of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
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
    /// Business day, `YYYY-MM-DD`; the store's own at `placed_at` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub business_date: Option<jiff::civil::Date>,
    /// When it was placed. At most one day in the future.
    #[schema(value_type = String, format = "date-time")]
    pub placed_at: Timestamp,
    /// ISO 4217 code of all amounts.
    #[schema(example = "USD")]
    pub currency: String,
    /// pending, paid (default), partially_fulfilled, fulfilled, cancelled or returned; in any order, also late. An order of which all
    /// goods came back is shown as returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Lines: 1 to 1,000.
    pub lines: Vec<OrderLineValue>,
    /// Tenders. Those that are captured take no more than the order costs and `change_minor`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<PaymentValue>,
    /// What was given back at the till of what was paid, in minor units.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub change_minor: i64,
    /// Whether prices and discounts include the taxes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tax_included: bool,
    /// Discount on the order as a whole, in minor units: allocated to the lines by what they cost, to the minor unit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order_discount_minor: i64,
    /// Tax on the order as a whole, in minor units: allocated to the lines by what they cost after discounts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order_tax_minor: i64,
    /// Shipping in minor units.
    #[serde(default)]
    pub shipping_minor: i64,
    /// Coupon codes used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coupon_codes: Vec<String>,
    /// Codes that are used with the order, up to 20: both are taken, or none. The discounts of the lines hold what they give. A code that
    /// the order has used stays used when the order is sent again, with or without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redemptions: Vec<RedemptionValue>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
    /// Your system's version of it: where both have one, the newer wins and an equal one changes nothing, whatever the times are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<i64>,
}

fn is_zero(amount: &i64) -> bool {
    *amount == 0
}

impl OrderLineValue {
    /// Whether it is of goods, which have units and can come back.
    pub(crate) fn is_goods(&self) -> bool {
        matches!(self.line_type.as_deref(), None | Some("sale" | "gift_card"))
    }
}

impl PaymentValue {
    pub(crate) fn is_captured(&self) -> bool {
        matches!(self.status.as_deref(), None | Some("captured"))
    }
}

impl Asked for PutOrder {
    const NOUN: &'static str = "order";
    const PATH: &'static str = "orders";
    const ABOUT: &'static str = "Create or update an order";

    fn example() -> Value {
        json!({"source": "till", "order_no": "367-31198570044", "channel": "pos", "store_code": "367", "member_no": "household-1",
            "placed_at": "2026-01-31T12:00:00Z", "currency": "USD",
            "lines": [{"line_no": 1, "sku_code": "1039126", "quantity": "2", "unit_price_minor": 699, "discount_minor": 100}],
            "payments": [{"payment_no": 1, "tender_type": "card", "amount_minor": 1298}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/order_no", &self.order_no, CODE_MAX)?;
        one_of("/channel", Some(&self.channel), &["pos", "ecom", "marketplace"])?;
        optional("/store_code", self.store_code.as_deref(), CODE_MAX)?;
        optional("/member_no", self.member_no.as_deref(), CODE_MAX)?;
        optional("/anonymous_id", self.anonymous_id.as_deref(), WORD_MAX)?;
        between("/placed_at", self.placed_at, 1970, now)?;
        if let Some(day) = self.business_date {
            days("/business_date", day, date(1970, 1, 1), now)?;
        }
        currency(&self.currency)?;
        one_of("/status", self.status.as_deref(), ORDER_STATUSES)?;
        amount("/shipping_minor", self.shipping_minor, -AMOUNT_MAX)?;
        count("/coupon_codes", self.coupon_codes.len(), 0, COUPONS_MAX)?;
        for (i, code) in self.coupon_codes.iter().enumerate() {
            text(&format!("/coupon_codes/{i}"), code, CODE_MAX)?;
        }
        check_uses("redemptions", &self.redemptions, 0)?;
        lines(&self.lines)?;
        payments(&self.payments, now)?;
        amount("/change_minor", self.change_minor, 0)?;
        amount("/order_discount_minor", self.order_discount_minor, 0)?;
        amount("/order_tax_minor", self.order_tax_minor, 0)?;
        version(self.source_version)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.order_no)
    }

    fn lines(&self) -> usize {
        self.lines.len()
    }

    fn function(&self) -> &'static str {
        if self.redemptions.is_empty() { Self::NOUN } else { "order_redeem" }
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        write(&order_body(self, &buyer(self, tokens)?)?)
    }
}

fn lines(lines: &[OrderLineValue]) -> Checked {
    count("/lines", lines.len(), 1, LINES_MAX)?;
    let mut seen = HashSet::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        order_line(line).map_err(|error| below(error, "lines", i))?;
        if !seen.insert(line.line_no) {
            let detail = format!("line number {} comes twice", line.line_no);
            return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
        }
    }
    Ok(())
}

fn order_line(line: &OrderLineValue) -> Checked {
    number("/line_no", line.line_no, 10_000)?;
    one_of("/line_type", line.line_type.as_deref(), LINE_TYPES)?;
    if line.line_type.as_deref().unwrap_or("sale") == "sale" || !line.sku_code.is_empty() {
        text("/sku_code", &line.sku_code, CODE_MAX)?;
    }
    if let Some(fulfilled) = line.fulfilled_quantity {
        quantity("/fulfilled_quantity", fulfilled)?;
        if fulfilled > line.quantity {
            let detail = "no more is handed over than was sold";
            return Err(OltpError::invalid("oltp.out_of_range", "/fulfilled_quantity", detail));
        }
    }
    quantity("/quantity", line.quantity)?;
    if line.unit_price_minor.is_none() && line.gross_minor.is_none() {
        let detail = "a line has a unit price, an extended amount or both";
        return Err(OltpError::invalid("oltp.missing", "/unit_price_minor", detail));
    }
    line.unit_price_minor.map_or(Ok(()), |price| amount("/unit_price_minor", price, 0))?;
    line.gross_minor.map_or(Ok(()), |gross| amount("/gross_minor", gross, 0))?;
    amount("/discount_minor", line.discount_minor, 0)?;
    amount("/tax_minor", line.tax_minor, -AMOUNT_MAX)?;
    optional("/description", line.description.as_deref(), TEXT_MAX)
}

fn payments(payments: &[PaymentValue], now: Timestamp) -> Checked {
    count("/payments", payments.len(), 0, PAYMENTS_MAX)?;
    let mut seen = HashSet::with_capacity(payments.len());
    for (i, payment) in payments.iter().enumerate() {
        tender(payment, now).map_err(|error| below(error, "payments", i))?;
        if !seen.insert(payment.payment_no) {
            let detail = format!("payment number {} comes twice", payment.payment_no);
            return Err(OltpError::invalid("oltp.duplicate_payment", format!("/payments/{i}/payment_no"), detail));
        }
    }
    Ok(())
}

fn tender(payment: &PaymentValue, now: Timestamp) -> Checked {
    number("/payment_no", payment.payment_no, 1000)?;
    one_of("/tender_type", Some(&payment.tender_type), TENDER_TYPES)?;
    amount("/amount_minor", payment.amount_minor, 0)?;
    one_of("/status", payment.status.as_deref(), &["authorised", "captured", "failed", "voided"])?;
    optional("/processor_ref", payment.processor_ref.as_deref(), WORD_MAX)?;
    past("/captured_at", payment.captured_at, now)
}

#[derive(Serialize)]
struct OrderBody<'a> {
    source: &'a str,
    order_no: &'a str,
    channel: &'a str,
    store_code: Option<&'a str>,
    member_no: Option<&'a str>,
    buyer_kind: Option<IdentityKind>,
    buyer_token: Option<&'a str>,
    anonymous_id: Option<String>,
    business_date: Option<Date>,
    placed_at: Timestamp,
    currency: &'a str,
    status: &'a str,
    units: Decimal,
    gross: i64,
    discount: i64,
    tax: i64,
    shipping: i64,
    net: i64,
    total: i64,
    tax_included: bool,
    order_discount: i64,
    order_tax: i64,
    change: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fulfilled: Option<Decimal>,
    /// Id of the event, if the order is new.
    event: Uuid,
    coupon_codes: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redemptions: Vec<CodeBody<'a>>,
    source_updated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    lines: Vec<LineBody<'a>>,
    payments: Vec<PaymentBody<'a>>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    id: Uuid,
    n: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    line_type: Option<&'a str>,
    q: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<i64>,
    gross: i64,
    discount: i64,
    #[serde(skip_serializing_if = "is_zero")]
    order_discount: i64,
    tax: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fulfilled: Option<Decimal>,
    void: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct PaymentBody<'a> {
    id: Uuid,
    n: i32,
    tender: &'a str,
    amount: i64,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captured_at: Option<Timestamp>,
}

/// The buyer's identity as a token.
fn buyer(body: &PutOrder, tokens: &Tokeniser) -> Result<Option<model::Identity>, OltpError> {
    let identity = body.buyer.as_ref().map(|buyer| tokens.identify(buyer.kind, &buyer.value)).transpose();
    identity.map_err(|error| OltpError::invalid("oltp.invalid_identity", "/buyer/value", error.to_string()))
}

/// The visitor who became the buyer, in the form in which visitors are known elsewhere. An empty id would be everybody's.
fn visitor(body: &PutOrder) -> Result<Option<String>, OltpError> {
    let id = body.anonymous_id.as_deref().map(|id| IdentityKind::Anonymous.normalise(id)).transpose();
    id.map_err(|error| OltpError::invalid("oltp.invalid_identity", "/anonymous_id", error.to_string()))
}

fn order_body<'a>(body: &'a PutOrder, buyer: &'a Option<model::Identity>) -> Result<OrderBody<'a>, OltpError> {
    let sums = order::sums(body)?;
    let lines = body.lines.iter().zip(&sums.lines).map(|(line, amounts)| LineBody {
        id: Uuid::now_v7(),
        n: line.line_no,
        sku: Some(line.sku_code.as_str()).filter(|code| !code.is_empty()),
        line_type: line.line_type.as_deref(),
        q: line.quantity,
        price: line.unit_price_minor,
        gross: amounts.gross,
        discount: amounts.discount,
        order_discount: amounts.order_discount,
        tax: amounts.tax,
        fulfilled: line.fulfilled_quantity,
        void: line.voided,
        text: line.description.as_deref(),
    });
    let payments = body.payments.iter().map(|payment| PaymentBody {
        id: Uuid::now_v7(),
        n: payment.payment_no,
        tender: &payment.tender_type,
        amount: payment.amount_minor,
        status: payment.status.as_deref().unwrap_or("captured"),
        reference: payment.processor_ref.as_deref(),
        captured_at: payment.captured_at,
    });
    Ok(OrderBody {
        source: &body.source,
        order_no: &body.order_no,
        channel: &body.channel,
        store_code: body.store_code.as_deref(),
        member_no: body.member_no.as_deref(),
        buyer_kind: buyer.as_ref().map(|identity| identity.kind),
        buyer_token: buyer.as_ref().map(|identity| identity.token.as_str()),
        anonymous_id: visitor(body)?,
        business_date: body.business_date,
        placed_at: body.placed_at,
        currency: &body.currency,
        status: body.status.as_deref().unwrap_or("paid"),
        units: sums.units,
        gross: sums.gross,
        discount: sums.discount,
        tax: sums.tax,
        shipping: body.shipping_minor,
        net: sums.net,
        total: sums.total,
        tax_included: body.tax_included,
        order_discount: body.order_discount_minor,
        order_tax: body.order_tax_minor,
        change: body.change_minor,
        paid: sums.paid,
        fulfilled: sums.fulfilled,
        event: Uuid::now_v7(),
        coupon_codes: &body.coupon_codes,
        redemptions: write_uses(&body.redemptions),
        source_updated_at: body.source_updated_at,
        version: body.source_version,
        lines: lines.collect(),
        payments: payments.collect(),
    })
}
