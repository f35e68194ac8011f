//! SKUs.

use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, WORD_MAX, amount, count, currency, object, optional, past, text};
use crate::error::OltpError;
use crate::gtin;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

const GTINS_MAX: usize = 32;

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
    /// Its other GTINs, such as those of packs; at most 32. One that is a global id belongs to one SKU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gtins: Vec<String>,
    /// Unit of measure; `each` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<String>,
    /// List price in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_price_minor: Option<i64>,
    /// What one unit costs you, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_minor: Option<i64>,
    /// ISO 4217 code of the list price and the cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Tax class, by your name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<String>,
    /// What tells it from the other SKUs of its product, such as size and colour.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variant_attributes: Map<String, Value>,
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
        count("/gtins", self.gtins.len(), 0, GTINS_MAX)?;
        gtins(self)?;
        optional("/uom", self.uom.as_deref(), 32)?;
        for (pointer, price) in [("/list_price_minor", self.list_price_minor), ("/cost_minor", self.cost_minor)] {
            let Some(price) = price else { continue };
            amount(pointer, price, 0)?;
            if self.currency.is_none() {
                return Err(OltpError::invalid("oltp.missing", "/currency", "a price or a cost needs its currency"));
            }
        }
        self.currency.as_deref().map_or(Ok(()), currency)?;
        optional("/tax_class", self.tax_class.as_deref(), WORD_MAX)?;
        object("/variant_attributes", &self.variant_attributes)?;
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gtins14: Vec<Gtin>,
}

#[derive(Serialize)]
struct Gtin {
    gtin14: String,
    is_global: bool,
}

fn sku(body: &PutSku) -> Result<SkuBody<'_>, OltpError> {
    let gtins14 = gtins(body)?;
    let gtin14 = body.gtin.as_ref().and_then(|_| gtins14.first()).map(|first| first.gtin14.clone());
    Ok(SkuBody { sku: body, gtin14, gtins14 })
}

/// All GTINs of a SKU, the one that it is known by first.
fn gtins(sku: &PutSku) -> Result<Vec<Gtin>, OltpError> {
    let first = sku.gtin.iter().map(|gtin| (gtin, "/gtin".to_owned()));
    let others = sku.gtins.iter().enumerate().map(|(i, gtin)| (gtin, format!("/gtins/{i}")));
    first
        .chain(others)
        .map(|(gtin, pointer)| {
            let gtin14 =
                gtin::normalise(gtin).map_err(|detail| OltpError::invalid("oltp.invalid_gtin", pointer, detail))?;
            Ok(Gtin { is_global: gtin::is_global(&gtin14), gtin14 })
        })
        .collect()
}
