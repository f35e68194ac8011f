//! Stores.

use super::Asked;
use crate::check::{
    CODE_MAX, Checked, TITLE_MAX, WORD_MAX, attributes, country, one_of, optional, past, text, timezone,
};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Types of stores.
pub(crate) const STORE_TYPES: &[&str] = &["physical", "web", "marketplace"];

/// A place of sale.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutStore {
    /// Your code of the store; identifies it.
    #[schema(example = "367")]
    pub store_code: String,
    /// Name.
    pub name: String,
    /// physical (default), web or marketplace.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub store_type: Option<String>,
    /// IANA time zone of its business day, such as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutStore {
    const NOUN: &'static str = "store";
    const PATH: &'static str = "stores";
    const ABOUT: &'static str = "Create or update a store";

    fn example() -> Value {
        json!({"store_code": "367", "name": "Main Street", "timezone": "America/New_York", "country_code": "US"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/store_code", &self.store_code, CODE_MAX)?;
        text("/name", &self.name, TITLE_MAX)?;
        one_of("/type", self.store_type.as_deref(), STORE_TYPES)?;
        timezone(self.timezone.as_deref())?;
        country(self.country_code.as_deref())?;
        optional("/region", self.region.as_deref(), WORD_MAX)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.store_code.clone()
    }
}
