//! What the demo's shoppers can buy, where, and who they are: taken from the shipped baskets.

use anyhow::{Result, ensure};
use engine_duckdb::files::Files;
use std::path::Path;

/// A product on the shelf.
#[derive(Clone, Debug)]
pub struct Item {
    /// Code of product and SKU.
    pub code: String,
    /// Its price in cents: what it cost on average.
    pub price_minor: i64,
}

/// Everything that shoppers need to know.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Products with a price.
    pub items: Vec<Item>,
    /// Store codes.
    pub stores: Vec<String>,
    /// Households that are members.
    pub households: Vec<i64>,
}

impl Catalogue {
    /// Reads it from the files of a journey.
    ///
    /// # Errors
    /// When the files cannot be read or hold nothing to sell.
    pub fn read(folder: &Path) -> Result<Self> {
        let baskets = format!(
            "read_parquet('{}')",
            folder.join("transactions.parquet").display().to_string().replace('\'', "''")
        );
        let files = Files::open()?;
        let mut catalogue = Self { items: Vec::new(), stores: Vec::new(), households: Vec::new() };
        let prices = format!(
            "select cast(product_id as varchar), cast(round(sum(sales_value) / sum(quantity) * 100) as bigint) as price
             from {baskets} where quantity between 1 and 20 group by 1 having price between 20 and 10000 order by 1"
        );
        files.for_each(&prices, |row| {
            let code = row[0].text().unwrap_or_default().to_owned();
            catalogue.items.push(Item { code, price_minor: row[1].int() });
            true
        })?;
        files.for_each(&format!("select distinct cast(store_id as varchar) from {baskets} order by 1"), |row| {
            catalogue.stores.push(row[0].text().unwrap_or_default().to_owned());
            true
        })?;
        files.for_each(&format!("select distinct household_id from {baskets} order by 1"), |row| {
            catalogue.households.push(row[0].int());
            true
        })?;
        let complete = !catalogue.items.is_empty() && !catalogue.stores.is_empty() && !catalogue.households.is_empty();
        ensure!(complete, "{} holds nothing to sell", folder.display());
        Ok(catalogue)
    }
}
