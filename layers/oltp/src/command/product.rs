//! Products.

use super::Asked;
use crate::check::{CODE_MAX, Checked, TITLE_MAX, WORD_MAX, attributes, below, count, one_of, optional, past, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Statuses of products.
pub(crate) const PRODUCT_STATUSES: &[&str] = &["active", "archived"];

const HIERARCHY_MAX: usize = 8;

/// A product (SPU).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutProduct {
    /// Your code of the product; identifies it.
    #[schema(example = "1039126")]
    pub product_code: String,
    /// Title.
    pub title: String,
    /// Name of the brand, where you have no codes of brands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Code of the brand, which must exist. The product shows its name as `brand`, and follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand_code: Option<String>,
    /// Name of the department, where you have no codes of categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Name of the category, where you have no codes of categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Code of the category, which must exist. The product shows its name as `category`, that of the root above it as `department`, and
    /// follows both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_code: Option<String>,
    /// Season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-SS")]
    pub season: Option<String>,
    /// Names of the merchandise hierarchy from the widest, such as department, class, subclass; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merchandise_hierarchy: Vec<String>,
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
        optional("/brand_code", self.brand_code.as_deref(), CODE_MAX)?;
        optional("/category_code", self.category_code.as_deref(), CODE_MAX)?;
        derived("/brand", self.brand.is_some() && self.brand_code.is_some(), "brand_code")?;
        derived("/category", self.category.is_some() && self.category_code.is_some(), "category_code")?;
        derived("/department", self.department.is_some() && self.category_code.is_some(), "category_code")?;
        optional("/season", self.season.as_deref(), WORD_MAX)?;
        count("/merchandise_hierarchy", self.merchandise_hierarchy.len(), 0, HIERARCHY_MAX)?;
        for (i, name) in self.merchandise_hierarchy.iter().enumerate() {
            text("", name, WORD_MAX).map_err(|error| below(error, "merchandise_hierarchy", i))?;
        }
        one_of("/status", self.status.as_deref(), PRODUCT_STATUSES)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.product_code.clone()
    }
}

fn derived(pointer: &str, both: bool, code: &str) -> Checked {
    if both {
        let detail = format!("comes from {code}; leave out one of the two");
        return Err(OltpError::invalid("oltp.invalid_value", pointer, detail));
    }
    Ok(())
}
