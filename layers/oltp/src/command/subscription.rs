//! Subscriptions.

use super::Asked;
use crate::check::{CODE_MAX, Checked, amount, between, currency, far, number, one_of, past, quantity, source, text};
use crate::error::OltpError;
use model::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Statuses of subscriptions.
pub(crate) const SUBSCRIPTION_STATUSES: &[&str] = &["trialing", "active", "paused", "cancelled", "expired"];

/// A standing order of a member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSubscription {
    /// System that the number comes from; `(source, subscription_no)` identifies the subscription.
    #[schema(example = "shop")]
    pub source: String,
    /// Number of the subscription.
    pub subscription_no: String,
    /// Your number of the member, who must exist.
    pub member_no: String,
    /// Code of the SKU, which must exist.
    pub sku_code: String,
    /// Quantity of each delivery, a decimal text; more than zero.
    #[schema(value_type = String, example = "1")]
    pub quantity: Decimal,
    /// trialing, active, paused, cancelled or expired.
    #[schema(example = "active")]
    pub status: String,
    /// day, week, month or year.
    #[schema(example = "month")]
    pub interval_unit: String,
    /// Every so many units, 1 to 365.
    pub interval_count: i32,
    /// Price of each delivery in minor units.
    pub price_minor: i64,
    /// ISO 4217 code of the price.
    #[schema(example = "USD")]
    pub currency: String,
    /// When it started.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// When the next order is due.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub next_order_at: Option<Timestamp>,
    /// When it was cancelled; with the status cancelled, and with no other.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub cancelled_at: Option<Timestamp>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutSubscription {
    const NOUN: &'static str = "subscription";
    const PATH: &'static str = "subscriptions";
    const ABOUT: &'static str = "Create or update a subscription";

    fn example() -> Value {
        json!({"source": "shop", "subscription_no": "sub-1", "member_no": "household-1", "sku_code": "1039126", "quantity": "2",
            "status": "active", "interval_unit": "month", "interval_count": 1, "price_minor": 1298, "currency": "USD",
            "started_at": "2026-01-31T12:00:00Z", "next_order_at": "2026-02-28T12:00:00Z"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/subscription_no", &self.subscription_no, CODE_MAX)?;
        text("/member_no", &self.member_no, CODE_MAX)?;
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        quantity("/quantity", self.quantity)?;
        if self.quantity.is_zero() {
            return Err(OltpError::invalid("oltp.out_of_range", "/quantity", "more than zero"));
        }
        one_of("/status", Some(&self.status), SUBSCRIPTION_STATUSES)?;
        one_of("/interval_unit", Some(&self.interval_unit), &["day", "week", "month", "year"])?;
        number("/interval_count", self.interval_count, 365)?;
        amount("/price_minor", self.price_minor, 0)?;
        currency(&self.currency)?;
        between("/started_at", self.started_at, 1970, now)?;
        far("/next_order_at", self.next_order_at)?;
        past("/cancelled_at", self.cancelled_at, now)?;
        if (self.status == "cancelled") != self.cancelled_at.is_some() {
            let detail = "a cancelled subscription says when, and no other does";
            return Err(OltpError::invalid("oltp.missing", "/cancelled_at", detail));
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.subscription_no)
    }
}
