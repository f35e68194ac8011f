//! Prices.

use super::Asked;
use crate::check::{CODE_MAX, Checked, amount, any_time, currency, one_of, optional, past, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const PRIORITY_MAX: i16 = 100;

/// A price of a SKU for a time, in one store, on one channel or everywhere. Two of the same SKU, place, type, currency and priority may
/// not overlap in time. Of those that hold, the highest priority wins, then a promotion, then what is said of the store, then
/// what is said of the channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPrice {
    /// Your code of the price; identifies it.
    #[schema(example = "1039126-2026")]
    pub price_code: String,
    /// Code of the SKU, which must exist; never changes.
    #[schema(example = "1039126")]
    pub sku_code: String,
    /// Code of the store that it holds in; any store when absent. Not together with a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// pos, ecom or marketplace; any channel when absent. Not together with a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// regular (default) or promo.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub price_type: Option<String>,
    /// Price of one unit, in minor units.
    pub amount_minor: i64,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
    /// From when.
    #[schema(value_type = String, format = "date-time")]
    pub valid_from: Timestamp,
    /// Until when, itself excluded; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub valid_until: Option<Timestamp>,
    /// 0 (default) to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// Takes the price back, as if it had never been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<bool>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutPrice {
    const NOUN: &'static str = "price";
    const PATH: &'static str = "prices";
    const ABOUT: &'static str = "Create or update a price";

    fn example() -> Value {
        json!({"price_code": "1039126-2026", "sku_code": "1039126", "amount_minor": 699, "currency": "USD",
            "valid_from": "2026-01-01T05:00:00Z"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/price_code", &self.price_code, CODE_MAX)?;
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        optional("/store_code", self.store_code.as_deref(), CODE_MAX)?;
        one_of("/channel", self.channel.as_deref(), &["pos", "ecom", "marketplace"])?;
        if self.store_code.is_some() && self.channel.is_some() {
            let detail = "a price holds in one store or on one channel, not both";
            return Err(OltpError::invalid("oltp.invalid_value", "/channel", detail));
        }
        one_of("/type", self.price_type.as_deref(), &["regular", "promo"])?;
        amount("/amount_minor", self.amount_minor, 0)?;
        currency(&self.currency)?;
        any_time("/valid_from", Some(self.valid_from))?;
        any_time("/valid_until", self.valid_until)?;
        if self.valid_until.is_some_and(|until| until <= self.valid_from) {
            return Err(OltpError::invalid("oltp.out_of_range", "/valid_until", "after valid_from"));
        }
        if self.priority.is_some_and(|priority| !(0..=PRIORITY_MAX).contains(&priority)) {
            return Err(OltpError::invalid("oltp.out_of_range", "/priority", "between 0 and 100"));
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.price_code.clone()
    }

    /// A price locks its SKU.
    fn locks(&self) -> String {
        self.sku_code.clone()
    }
}
