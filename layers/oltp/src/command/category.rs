//! The tree of categories.

use super::Asked;
use crate::check::{CODE_MAX, Checked, WORD_MAX, attributes, optional, past, text};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A category of products. Another parent moves it with all that is below it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCategory {
    /// Your code of the category; identifies it.
    #[schema(example = "coffee")]
    pub category_code: String,
    /// Name. Products of the category show it, and that of the root above it as their department.
    pub name: String,
    /// Code of the category that it is in, which must exist; a root when absent. At most 15 others may be above a category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "grocery")]
    pub parent_code: Option<String>,
    /// Whether it is in use; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutCategory {
    const NOUN: &'static str = "category";
    const PATH: &'static str = "categories";
    const ABOUT: &'static str = "Create, update or move a category";

    fn example() -> Value {
        json!({"category_code": "grocery", "name": "Grocery"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/category_code", &self.category_code, CODE_MAX)?;
        text("/name", &self.name, WORD_MAX)?;
        optional("/parent_code", self.parent_code.as_deref(), CODE_MAX)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.category_code.clone()
    }
}
