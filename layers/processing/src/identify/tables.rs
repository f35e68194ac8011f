//! Broadcast tables: products, SKUs and stores, held in memory for joins and kept in the state.

use super::owners::Version;
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use model::row;
use model::signal::ProductJoin;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// Layout of the rows; raise it with every change of the structs.
const LAYOUT: u8 = 2;

/// A row that is found by its id and by its code.
pub trait Coded: Serialize + DeserializeOwned {
    /// Where it is kept.
    const NAMESPACE: &'static str;

    /// Its code.
    fn code(&self) -> &str;
}

/// A product.
#[derive(Debug, Serialize, Deserialize)]
pub struct Product {
    code: String,
    category: Option<String>,
    brand: Option<String>,
}

/// A variant.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sku {
    code: String,
    product: Uuid,
}

/// A store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Store {
    code: String,
}

impl Coded for Product {
    const NAMESPACE: &'static str = "processing.identify.products";

    fn code(&self) -> &str {
        &self.code
    }
}

impl Coded for Sku {
    const NAMESPACE: &'static str = "processing.identify.skus";

    fn code(&self) -> &str {
        &self.code
    }
}

impl Coded for Store {
    const NAMESPACE: &'static str = "processing.identify.stores";

    fn code(&self) -> &str {
        &self.code
    }
}

impl From<row::Product> for Product {
    fn from(row: row::Product) -> Self {
        Self { code: row.product_code, category: row.category, brand: row.brand }
    }
}

impl From<row::Sku> for Sku {
    fn from(row: row::Sku) -> Self {
        Self { code: row.sku_code, product: row.product_id }
    }
}

impl From<row::Store> for Store {
    fn from(row: row::Store) -> Self {
        Self { code: row.store_code }
    }
}

/// A row with the version that it was last changed by; none when it is gone.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    version: Version,
    row: Option<T>,
}

/// One table.
pub struct Table<T> {
    rows: HashMap<Uuid, Kept<T>>,
    /// Who bears a code, the newest last: a code may pass from one row to another.
    codes: HashMap<String, BTreeSet<(Version, Uuid)>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: HashMap::new(), codes: HashMap::new() }
    }
}

impl<T: Coded> Table<T> {
    fn load(state: &Overlay) -> Result<Self, ProcessingError> {
        let mut table = Self::default();
        for (key, value) in state.scan(T::NAMESPACE, &[])? {
            if let Ok(id) = Uuid::from_slice(&key) {
                table.set(id, codec::decode(T::NAMESPACE, LAYOUT, &value)?);
            }
        }
        Ok(table)
    }

    /// Takes in a row, or that it is gone. An older version than the known one changes nothing.
    pub fn put(
        &mut self,
        state: &mut Overlay,
        id: Uuid,
        version: Version,
        row: Option<T>,
    ) -> Result<(), ProcessingError> {
        if self.rows.get(&id).is_some_and(|known| known.version >= version) {
            return Ok(());
        }
        let kept = Kept { version, row };
        let value = codec::encode(T::NAMESPACE, LAYOUT, &kept)?;
        state.put(T::NAMESPACE, Bytes::copy_from_slice(id.as_bytes()), Some(value));
        self.set(id, kept);
        Ok(())
    }

    fn set(&mut self, id: Uuid, kept: Kept<T>) {
        if let Some(row) = &kept.row {
            self.codes.entry(row.code().to_owned()).or_default().insert((kept.version, id));
        }
        let Some(Kept { version, row: Some(former) }) = self.rows.insert(id, kept) else { return };
        if let Some(bearers) = self.codes.get_mut(former.code()) {
            bearers.remove(&(version, id));
            if bearers.is_empty() {
                self.codes.remove(former.code());
            }
        }
    }

    /// All rows older than a version are gone.
    pub fn empty(&mut self, state: &mut Overlay, version: Version) -> Result<(), ProcessingError> {
        let old = self.rows.iter().filter(|(_, kept)| kept.version < version && kept.row.is_some());
        for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.put(state, id, version, None)?;
        }
        Ok(())
    }

    fn by_id(&self, id: &Uuid) -> Option<&T> {
        self.rows.get(id)?.row.as_ref()
    }

    fn by_code(&self, code: &str) -> Option<&T> {
        let (_, id) = self.codes.get(code)?.last()?;
        self.by_id(id)
    }
}

/// The tables.
#[derive(Default)]
pub struct Tables {
    /// Products.
    pub products: Table<Product>,
    /// Variants.
    pub skus: Table<Sku>,
    /// Stores.
    pub stores: Table<Store>,
}

impl Tables {
    /// Reads the tables from the state.
    pub fn load(state: &Overlay) -> Result<Self, ProcessingError> {
        Ok(Self { products: Table::load(state)?, skus: Table::load(state)?, stores: Table::load(state)? })
    }

    /// Code of a store.
    pub fn store_code(&self, id: Uuid) -> Option<&str> {
        self.stores.by_id(&id).map(|store| store.code.as_str())
    }

    /// The product behind the codes of an event: the variant's, else the product's own. A product code that names a variant is
    /// taken as one, since shops mix them up.
    pub fn join(&self, product_code: Option<&str>, sku_code: Option<&str>) -> Option<ProductJoin> {
        let by_product = product_code.and_then(|code| self.products.by_code(code));
        let sku = sku_code.or(product_code).and_then(|code| self.skus.by_code(code));
        let product = by_product.or_else(|| sku.and_then(|sku| self.products.by_id(&sku.product)))?;
        Some(ProductJoin {
            product_code: product.code.clone(),
            sku_code: sku.map(|sku| sku.code.clone()),
            category: product.category.clone(),
            brand: product.brand.clone(),
        })
    }
}
