//! Brands.

use super::Asked;
use crate::check::{CODE_MAX, Checked, WORD_MAX, attributes, past, text};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A brand.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutBrand {
    /// Your code of the brand; identifies it.
    #[schema(example = "national")]
    pub brand_code: String,
    /// Name. Products of the brand show it.
    pub name: String,
    /// Whether it is carried now; true when absent.
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

impl Asked for PutBrand {
    const NOUN: &'static str = "brand";
    const PATH: &'static str = "brands";
    const ABOUT: &'static str = "Create or update a brand";

    fn example() -> Value {
        json!({"brand_code": "national", "name": "National"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/brand_code", &self.brand_code, CODE_MAX)?;
        text("/name", &self.name, WORD_MAX)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.brand_code.clone()
    }
}
