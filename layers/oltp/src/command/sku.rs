//! SKUs.

use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, amount, currency, optional, past, text};
use crate::error::OltpError;
use crate::gtin;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

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

impl Asked for PutSku {
    const NOUN: &'static str = "sku";
    const PATH: &'static str = "skus";
    const ABOUT: &'static str = "Create or update a SKU";

    fn example() -> Value {
        json!({"sku_code": "1039126", "product_code": "1039126", "list_price_minor": 699, "currency": "USD"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        text("/product_code", &self.product_code, CODE_MAX)?;
        if let Some(gtin) = &self.gtin {
            gtin::normalise(gtin).map_err(|detail| OltpError::invalid("oltp.invalid_gtin", "/gtin", detail))?;
        }
        optional("/uom", self.uom.as_deref(), 32)?;
        if let Some(price) = self.list_price_minor {
            amount("/list_price_minor", price, 0)?;
            if self.currency.is_none() {
                return Err(OltpError::invalid("oltp.missing", "/currency", "a list price needs its currency"));
            }
        }
        self.currency.as_deref().map_or(Ok(()), currency)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.sku_code.clone()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        write(&sku(self)?)
    }
}

#[derive(Serialize)]
struct SkuBody<'a> {
    #[serde(flatten)]
    sku: &'a PutSku,
    gtin14: Option<String>,
}

fn sku(body: &PutSku) -> Result<SkuBody<'_>, OltpError> {
    let gtin14 = body.gtin.as_deref().map(gtin::normalise).transpose();
    let gtin14 = gtin14.map_err(|detail| OltpError::invalid("oltp.invalid_gtin", "/gtin", detail))?;
    Ok(SkuBody { sku: body, gtin14 })
}
