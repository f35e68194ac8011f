//! Bundles: SKUs that are sold as one.

use super::Asked;
use crate::check::{CODE_MAX, Checked, below, count, positive, text};
use crate::error::OltpError;
use model::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;

const COMPONENTS_MAX: usize = 100;

/// A SKU in a bundle.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentValue {
    /// Code of the SKU, which must exist and be no bundle.
    #[schema(example = "1039126")]
    pub sku_code: String,
    /// How many units of it are in one bundle; more than zero.
    #[schema(value_type = String, example = "2")]
    pub quantity: Decimal,
}

/// What a SKU is made of. It becomes a bundle, which has no stock of its own: selling one takes its components from stock. Orders keep the
/// composition that they were made with.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutBundle {
    /// Code of the SKU that is the bundle, which must exist.
    #[schema(example = "breakfast")]
    pub sku_code: String,
    /// Components: 1 to 100, all of them.
    pub components: Vec<ComponentValue>,
}

impl Asked for PutBundle {
    const NOUN: &'static str = "bundle";
    const PATH: &'static str = "bundles";
    const ABOUT: &'static str = "Say what a bundle is made of";

    fn example() -> Value {
        json!({"sku_code": "breakfast", "components": [{"sku_code": "1039126", "quantity": "2"}]})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        count("/components", self.components.len(), 1, COMPONENTS_MAX)?;
        let mut seen = HashSet::new();
        for (i, component) in self.components.iter().enumerate() {
            text("/sku_code", &component.sku_code, CODE_MAX).map_err(|error| below(error, "components", i))?;
            positive("/quantity", component.quantity).map_err(|error| below(error, "components", i))?;
            if !seen.insert(&component.sku_code) {
                let pointer = format!("/components/{i}/sku_code");
                return Err(OltpError::invalid("oltp.duplicate_line", pointer, "this SKU comes twice"));
            }
        }
        Ok(())
    }

    fn unique(&self) -> String {
        self.sku_code.clone()
    }

    fn lines(&self) -> usize {
        self.components.len()
    }
}
