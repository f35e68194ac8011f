//! Postal addresses of members and orders.

use crate::check::{Checked, WORD_MAX, count, country, optional, text};
use crate::error::OltpError;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::ToSchema;

/// Most addresses of a member or an order; the database holds to it, too.
const ADDRESSES_MAX: usize = 20;
/// Most lines of an address, and the longest, in characters.
const LINES_MAX: usize = 5;
const LINE_MAX: usize = 256;

/// A postal address. Personal: kept apart, never on the bus.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressValue {
    /// What it is for, such as home, shipping or billing: each once. Another address with this label takes its place.
    #[schema(example = "home")]
    pub label: String,
    /// Who is there, if not the member who buys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Street and house, flat, floor, as they are printed: 1 to 5. Without lines the address of this label is taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, province or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
}

/// Whether these could be the addresses of a member or an order.
pub(crate) fn check(addresses: &[AddressValue]) -> Checked {
    count("/addresses", addresses.len(), 0, ADDRESSES_MAX)?;
    let mut labels = HashSet::new();
    for (i, address) in addresses.iter().enumerate() {
        let at = |field: &str| format!("/addresses/{i}/{field}");
        text(&at("label"), &address.label, WORD_MAX)?;
        if !labels.insert(address.label.as_str()) {
            return Err(OltpError::invalid("oltp.duplicate_label", at("label"), "each label comes once"));
        }
        count(&at("lines"), address.lines.len(), 0, LINES_MAX)?;
        for (n, line) in address.lines.iter().enumerate() {
            text(&format!("/addresses/{i}/lines/{n}"), line, LINE_MAX)?;
        }
        let AddressValue { recipient, postal_code, city, region, country_code, .. } = address;
        for (field, value) in
            [("recipient", recipient), ("postal_code", postal_code), ("city", city), ("region", region)]
        {
            optional(&at(field), value.as_deref(), LINE_MAX)?;
        }
        country(&at("country_code"), country_code.as_deref())?;
    }
    Ok(())
}
