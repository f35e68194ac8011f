//! Where orders go.

use super::{AddressValue, Asked, address};
use crate::check::{CODE_MAX, Checked, past, source, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Postal addresses of an order, such as shipping and billing. Personal: kept apart from the order, never on the bus, shown to keys that
/// see personal data, and gone when the buyer is erased. For a guest's order take them away yourself when they are not needed any more.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutOrderAddresses {
    /// Source of the order, which must exist.
    #[schema(example = "shop")]
    pub source: String,
    /// Number of the order.
    #[schema(example = "1001")]
    pub order_no: String,
    /// Addresses to put, 1 to 20, each by its label; labels that do not come stay.
    pub addresses: Vec<AddressValue>,
    /// When your system changed them; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutOrderAddresses {
    const NOUN: &'static str = "order_addresses";
    const PATH: &'static str = "orders/addresses";
    const ABOUT: &'static str = "Put postal addresses of an order";

    fn example() -> Value {
        json!({"source": "till", "order_no": "367-31198570044", "addresses": [{"label": "shipping", "recipient": "A. Neighbour",
            "lines": ["1 Main Street"], "postal_code": "45202", "city": "Cincinnati", "country_code": "US"}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/source", &self.source)?;
        text("/order_no", &self.order_no, CODE_MAX)?;
        if self.addresses.is_empty() {
            return Err(OltpError::invalid("oltp.missing", "/addresses", "an address or more"));
        }
        address::check(&self.addresses)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.order_no)
    }
}
