//! Returns.

use super::order::LINES_MAX;
use super::{Asked, Written, write};
use crate::check::{
    CODE_MAX, Checked, TEXT_MAX, amount, below, between, count, days, number, one_of, optional, past, quantity, source,
    text,
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
        source("/order_source", &self.order_source)?;
        text("/order_no", &self.order_no, CODE_MAX)?;
        optional("/store_code", self.store_code.as_deref(), CODE_MAX)?;
        between("/returned_at", self.returned_at, 1970, now)?;
        if let Some(day) = self.business_date {
            days("/business_date", day, date(1970, 1, 1), now)?;
        }
        one_of("/status", self.status.as_deref(), RETURN_STATUSES)?;
        optional("/reason", self.reason.as_deref(), TEXT_MAX)?;
        count("/lines", self.lines.len(), 1, LINES_MAX)?;
        let mut seen = HashSet::with_capacity(self.lines.len());
        for (i, line) in self.lines.iter().enumerate() {
            number("/line_no", line.line_no, 10_000).map_err(|error| below(error, "lines", i))?;
            quantity("/quantity", line.quantity).map_err(|error| below(error, "lines", i))?;
            if line.quantity.is_zero() {
                let detail = "a quantity that comes back is more than zero";
                return Err(OltpError::invalid("oltp.out_of_range", format!("/lines/{i}/quantity"), detail));
            }
            line.net_minor
                .map_or(Ok(()), |net| amount("/net_minor", net, 0))
                .map_err(|error| below(error, "lines", i))?;
            if !seen.insert(line.line_no) {
                let detail = format!("line number {} comes twice", line.line_no);
                return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
            }
        }
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
        self.lines.len()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        write(&ReturnBody { body: self, ids: self.lines.iter().map(|_| Uuid::now_v7()).collect() })
    }
}

#[derive(Serialize)]
struct ReturnBody<'a> {
    #[serde(flatten)]
    body: &'a PutReturn,
    ids: Vec<Uuid>,
}
