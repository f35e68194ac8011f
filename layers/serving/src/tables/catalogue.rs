//! Where and what is sold.

use super::mirror;

mirror! { STORES: "stores" of "store" by 1 {
    store_id: Uuid, store_code: Text, name: Text, type: Text, timezone: Text, country_code: Text, region: Text,
    attributes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { PRODUCTS: "products" of "product" by 1 {
    product_id: Uuid, product_code: Text, title: Text, brand: Text, department: Text, category: Text, status: Text,
    attributes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { SKUS: "skus" of "sku" by 1 {
    sku_id: Uuid, product_id: Uuid, sku_code: Text, gtin14: Text, uom: Text, list_price_minor: Int, currency: Text,
    active: Bool, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }
