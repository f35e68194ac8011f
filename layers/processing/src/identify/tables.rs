//! Broadcast tables: products, SKUs and stores, held in memory for joins and kept in the state.

use super::owners::Version;
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use model::signal::ProductJoin;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

const PRODUCTS: &str = "processing.identify.products";
const SKUS: &str = "processing.identify.skus";
const STORES: &str = "processing.identify.stores";
/// Layout of the rows; raise it with every change of the structs.
const LAYOUT: u8 = 1;

/// A product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Version of the change.
    pub version: Version,
    /// Code.
    pub code: String,
    /// Category.
    pub category: Option<String>,
    /// Brand.
    pub brand: Option<String>,
}

/// A variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sku {
    /// Version of the change.
    pub version: Version,
    /// Code.
    pub code: String,
    /// Its product.
    pub product: Uuid,
}

/// A store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Version of the change.
    pub version: Version,
    /// Code.
    pub code: String,
}

/// The tables.
#[derive(Default)]
pub struct Tables {
    products: HashMap<Uuid, Product>,
    product_codes: HashMap<String, Uuid>,
    skus: HashMap<Uuid, Sku>,
    sku_codes: HashMap<String, Uuid>,
    stores: HashMap<Uuid, Store>,
}

fn put<T: Serialize>(state: &mut Overlay, namespace: &'static str, id: Uuid, row: &T) -> Result<(), ProcessingError> {
    let value = codec::encode(namespace, LAYOUT, row)?;
    state.put(namespace, Bytes::copy_from_slice(id.as_bytes()), Some(value));
    Ok(())
}

fn rows<T: DeserializeOwned>(state: &Overlay, namespace: &'static str) -> Result<HashMap<Uuid, T>, ProcessingError> {
    let mut rows = HashMap::new();
    for (key, value) in state.scan(namespace, &[])? {
        if let Ok(id) = Uuid::from_slice(&key) {
            rows.insert(id, codec::decode(namespace, LAYOUT, &value)?);
        }
    }
    Ok(rows)
}

impl Tables {
    /// Reads the tables from the state.
    pub fn load(state: &Overlay) -> Result<Self, ProcessingError> {
        let mut tables = Self {
            products: rows(state, PRODUCTS)?,
            skus: rows(state, SKUS)?,
            stores: rows(state, STORES)?,
            ..Self::default()
        };
        tables.product_codes = tables.products.iter().map(|(id, product)| (product.code.clone(), *id)).collect();
        tables.sku_codes = tables.skus.iter().map(|(id, sku)| (sku.code.clone(), *id)).collect();
        Ok(tables)
    }

    /// Takes in a product.
    pub fn product(&mut self, state: &mut Overlay, id: Uuid, product: Product) -> Result<(), ProcessingError> {
        if self.products.get(&id).is_some_and(|known| known.version >= product.version) {
            return Ok(());
        }
        put(state, PRODUCTS, id, &product)?;
        self.product_codes.insert(product.code.clone(), id);
        self.products.insert(id, product);
        Ok(())
    }

    /// Takes in a variant.
    pub fn sku(&mut self, state: &mut Overlay, id: Uuid, sku: Sku) -> Result<(), ProcessingError> {
        if self.skus.get(&id).is_some_and(|known| known.version >= sku.version) {
            return Ok(());
        }
        put(state, SKUS, id, &sku)?;
        self.sku_codes.insert(sku.code.clone(), id);
        self.skus.insert(id, sku);
        Ok(())
    }

    /// Takes in a store; true when it was not known before.
    pub fn store(&mut self, state: &mut Overlay, id: Uuid, store: Store) -> Result<bool, ProcessingError> {
        if self.stores.get(&id).is_some_and(|known| known.version >= store.version) {
            return Ok(false);
        }
        put(state, STORES, id, &store)?;
        Ok(self.stores.insert(id, store).is_none())
    }

    /// Code of a store.
    pub fn store_code(&self, id: Uuid) -> Option<&str> {
        self.stores.get(&id).map(|store| store.code.as_str())
    }

    /// The product behind the codes of an event: the variant's, else the product's own. A product code that names a variant is
    /// taken as one, since shops mix them up.
    pub fn join(&self, product_code: Option<&str>, sku_code: Option<&str>) -> Option<ProductJoin> {
        let product = |id: &Uuid| self.products.get(id);
        let by_product = product_code.and_then(|code| self.product_codes.get(code)).and_then(product);
        let sku = sku_code.or(product_code).and_then(|code| self.sku_codes.get(code)).and_then(|id| self.skus.get(id));
        let product = by_product.or_else(|| sku.and_then(|sku| product(&sku.product)))?;
        Some(ProductJoin {
            product_code: product.code.clone(),
            sku_code: sku.map(|sku| sku.code.clone()),
            category: product.category.clone(),
            brand: product.brand.clone(),
        })
    }
}
