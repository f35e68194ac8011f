//! Products.

use super::Asked;
use crate::check::{CODE_MAX, Checked, TITLE_MAX, WORD_MAX, attributes, one_of, optional, past, text};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Statuses of products.
pub(crate) const PRODUCT_STATUSES: &[&str] = &["active", "archived"];

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

impl Asked for PutProduct {
    const NOUN: &'static str = "product";
    const PATH: &'static str = "products";
    const ABOUT: &'static str = "Create or update a product";

    fn example() -> Value {
        json!({"product_code": "1039126", "title": "Ground coffee", "brand": "National", "department": "GROCERY",
            "category": "COFFEE"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/product_code", &self.product_code, CODE_MAX)?;
        text("/title", &self.title, TITLE_MAX)?;
        optional("/brand", self.brand.as_deref(), WORD_MAX)?;
        optional("/department", self.department.as_deref(), WORD_MAX)?;
        optional("/category", self.category.as_deref(), WORD_MAX)?;
        one_of("/status", self.status.as_deref(), PRODUCT_STATUSES)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.product_code.clone()
    }
}
