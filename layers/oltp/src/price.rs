//! What goods cost: the price that holds at a moment, in a store and on a channel.

use crate::check::{CODE_MAX, count, currency, one_of, optional, text};
use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

const SKUS_MAX: usize = 200;

/// A question for prices.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// Codes of the SKUs: 1 to 200.
    pub sku_codes: Vec<String>,
    /// Code of the store; prices of any store count when absent or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// pos, ecom or marketplace; prices of any channel count when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
}

impl Oltp {
    /// The prices of SKUs at a moment, in the order in which they were asked for: `sku_code`, `known`, `amount_minor` (null where there is
    /// none in this currency), `type` (`promo`, `regular`, or `list`: the SKU's own), `price_code` and `valid_until`.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a question that cannot be answered; [`OltpError::Unavailable`].
    pub async fn quote(&self, quote: &Quote, at: Timestamp) -> Result<Value, OltpError> {
        count("/sku_codes", quote.sku_codes.len(), 1, SKUS_MAX)?;
        for (i, code) in quote.sku_codes.iter().enumerate() {
            text(&format!("/sku_codes/{i}"), code, CODE_MAX)?;
        }
        optional("/store_code", quote.store_code.as_deref(), CODE_MAX)?;
        one_of("/channel", quote.channel.as_deref(), &["pos", "ecom", "marketplace"])?;
        currency(&quote.currency)?;
        let Quote { sku_codes, store_code, channel, currency } = quote;
        let rows = self.query(statement::QUOTE_PRICES, &[sku_codes, store_code, channel, &at, currency]).await?;
        Ok(rows.first().map_or(Value::Null, |row| row.get(0)))
    }
}
