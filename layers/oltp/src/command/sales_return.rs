//! Returns, with what is refunded.

use super::order::{LINES_MAX, PAYMENTS_MAX, TENDER_TYPES};
use super::{Asked, Written, write};
use crate::check::{
    AMOUNT_MAX, CODE_MAX, Checked, TEXT_MAX, WORD_MAX, amount, below, between, count, currency, days, number, one_of,
    optional, past, quantity, source, text, version,
};
use crate::error::OltpError;
use jiff::civil::date;
use model::{Decimal, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Statuses of returns.
pub(crate) const RETURN_STATUSES: &[&str] = &["requested", "completed", "rejected"];

/// A line of a return: of the order's line `line_no`, or without a receipt of a SKU.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnLineValue {
    /// Number of the order's line that comes back; without a receipt, number within the return.
    pub line_no: i32,
    /// Code of the SKU, where there is no receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku_code: Option<String>,
    /// Quantity, at most what was sold and not yet returned.
    #[schema(value_type = String, example = "1")]
    pub quantity: Decimal,
    /// Net amount given back, in minor units; the line's share by quantity, rounded half away from zero, when absent. Without a
    /// receipt it must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_minor: Option<i64>,
    /// Tax given back, in minor units; the line's share by quantity, or without a receipt 0, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_minor: Option<i64>,
    /// Why this line comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the goods can be sold again; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restock: Option<bool>,
}

/// Money that goes back to a tender.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundValue {
    /// Number within the return, from 1.
    pub refund_no: i32,
    /// cash, card, gift_card, points, wallet, bnpl or other.
    pub tender_type: String,
    /// Number of the order's payment that it goes back to. All refunds of a payment give back no more than it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_no: Option<i32>,
    /// Amount in minor units.
    pub amount_minor: i64,
    /// pending, completed (default), failed or voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The processor's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_ref: Option<String>,
    /// When the money went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub refunded_at: Option<Timestamp>,
}

/// A return of goods, whole, with what is refunded: of an order, or without a receipt.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutReturn {
    /// System that the number comes from; `(source, return_no)` identifies the return.
    pub source: String,
    /// Number of the return.
    pub return_no: String,
    /// Source of the order; absent without a receipt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order_source: String,
    /// Number of the order; absent without a receipt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order_no: String,
    /// Your number of the member who brought the goods back without a receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_no: Option<String>,
    /// ISO 4217 code of all amounts, where there is no receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Source of the order that replaces the goods; that of the returned order when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_order_source: Option<String>,
    /// Number of the order that replaces the goods: an exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_order_no: Option<String>,
    /// Code of the store that took the goods back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    pub returned_at: Timestamp,
    /// Business day; the store's own at `returned_at` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub business_date: Option<jiff::civil::Date>,
    /// requested, completed (default) or rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Lines: 1 to 1,000; none where only money goes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ReturnLineValue>,
    /// Refunds, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundValue>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
    /// Your system's version of it: where both have one, the newer wins and an equal one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<i64>,
}

impl PutReturn {
    /// Whether it is of an order that is known.
    fn has_receipt(&self) -> bool {
        !self.order_source.is_empty() || !self.order_no.is_empty()
    }

    fn check_receipt(&self) -> Checked {
        if self.has_receipt() {
            source("/order_source", &self.order_source)?;
            return text("/order_no", &self.order_no, CODE_MAX);
        }
        let Some(code) = self.currency.as_deref() else {
            return Err(OltpError::invalid("oltp.missing", "/currency", "without an order a return has its currency"));
        };
        currency(code)?;
        optional("/member_no", self.member_no.as_deref(), CODE_MAX)
    }

    fn check_lines(&self) -> Checked {
        count("/lines", self.lines.len(), usize::from(self.refunds.is_empty()), LINES_MAX)?;
        let mut seen = HashSet::with_capacity(self.lines.len());
        for (i, line) in self.lines.iter().enumerate() {
            return_line(line, self.has_receipt()).map_err(|error| below(error, "lines", i))?;
            if !seen.insert(line.line_no) {
                let detail = format!("line number {} comes twice", line.line_no);
                return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
            }
        }
        Ok(())
    }

    fn check_refunds(&self, now: Timestamp) -> Checked {
        count("/refunds", self.refunds.len(), 0, PAYMENTS_MAX)?;
        let mut seen = HashSet::with_capacity(self.refunds.len());
        for (i, refund) in self.refunds.iter().enumerate() {
            check_refund(refund, self.has_receipt(), now).map_err(|error| below(error, "refunds", i))?;
            if !seen.insert(refund.refund_no) {
                let detail = format!("refund number {} comes twice", refund.refund_no);
                return Err(OltpError::invalid("oltp.duplicate_refund", format!("/refunds/{i}/refund_no"), detail));
            }
        }
        Ok(())
    }
}

fn return_line(line: &ReturnLineValue, receipt: bool) -> Checked {
    number("/line_no", line.line_no, 10_000)?;
    quantity("/quantity", line.quantity)?;
    if line.quantity.is_zero() {
        let detail = "a quantity that comes back is more than zero";
        return Err(OltpError::invalid("oltp.out_of_range", "/quantity", detail));
    }
    match (receipt, line.sku_code.as_deref()) {
        (true, Some(_)) => {
            let detail = "of an order come its lines back: name the line, not the SKU";
            return Err(OltpError::invalid("oltp.invalid_value", "/sku_code", detail));
        }
        (true, None) => {}
        (false, code) => text("/sku_code", code.unwrap_or(""), CODE_MAX)?,
    }
    if !receipt && line.net_minor.is_none() {
        let detail = "without a receipt each line says what is given back";
        return Err(OltpError::invalid("oltp.missing", "/net_minor", detail));
    }
    line.net_minor.map_or(Ok(()), |net| amount("/net_minor", net, 0))?;
    line.tax_minor.map_or(Ok(()), |tax| amount("/tax_minor", tax, -AMOUNT_MAX))?;
    optional("/reason", line.reason.as_deref(), TEXT_MAX)
}

fn check_refund(refund: &RefundValue, receipt: bool, now: Timestamp) -> Checked {
    number("/refund_no", refund.refund_no, 1000)?;
    one_of("/tender_type", Some(&refund.tender_type), TENDER_TYPES)?;
    amount("/amount_minor", refund.amount_minor, 0)?;
    if let Some(payment_no) = refund.payment_no {
        number("/payment_no", payment_no, 1000)?;
        if !receipt {
            let detail = "without an order there is no payment to give back to";
            return Err(OltpError::invalid("oltp.invalid_value", "/payment_no", detail));
        }
    }
    one_of("/status", refund.status.as_deref(), &["pending", "completed", "failed", "voided"])?;
    optional("/processor_ref", refund.processor_ref.as_deref(), WORD_MAX)?;
    past("/refunded_at", refund.refunded_at, now)
}

impl Asked for PutReturn {
    const NOUN: &'static str = "return";
    const PATH: &'static str = "returns";
    const ABOUT: &'static str = "Create or update a return";

    fn example() -> Value {
        json!({"source": "till", "return_no": "367-R-1", "order_source": "till", "order_no": "367-31198570044",
            "returned_at": "2026-02-01T09:30:00Z", "lines": [{"line_no": 1, "quantity": "1"}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/return_no", &self.return_no, CODE_MAX)?;
        self.check_receipt()?;
        self.exchange_order_source.as_deref().map_or(Ok(()), |from| source("/exchange_order_source", from))?;
        optional("/exchange_order_no", self.exchange_order_no.as_deref(), CODE_MAX)?;
        optional("/store_code", self.store_code.as_deref(), CODE_MAX)?;
        between("/returned_at", self.returned_at, 1970, now)?;
        if let Some(day) = self.business_date {
            days("/business_date", day, date(1970, 1, 1), now)?;
        }
        one_of("/status", self.status.as_deref(), RETURN_STATUSES)?;
        optional("/reason", self.reason.as_deref(), TEXT_MAX)?;
        self.check_lines()?;
        self.check_refunds(now)?;
        version(self.source_version)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.return_no)
    }

    /// A return locks its order.
    fn locks(&self) -> String {
        format!("{}\0{}", self.order_source, self.order_no)
    }

    fn lines(&self) -> usize {
        self.lines.len() + self.refunds.len()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        let ids = |count: usize| (0..count).map(|_| Uuid::now_v7()).collect();
        write(&ReturnBody { body: self, ids: ids(self.lines.len()), refund_ids: ids(self.refunds.len()) })
    }
}

#[derive(Serialize)]
struct ReturnBody<'a> {
    #[serde(flatten)]
    body: &'a PutReturn,
    /// Of lines, if they are new.
    ids: Vec<Uuid>,
    /// Of refunds, if they are new.
    refund_ids: Vec<Uuid>,
}
