//! Where and what is sold, and for how much.

use super::mirror;

mirror! { STORES: "stores" of "store" by 1 {
    store_id: Uuid, store_code: Text, name: Text, type: Text, timezone: Text, country_code: Text, region: Text,
    attributes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    gln: Text, opened_on: Date, closed_on: Date, day_starts_at: Text, allow_negative_stock: Bool
} }

mirror! { PRODUCTS: "products" of "product" by 1 {
    product_id: Uuid, product_code: Text, title: Text, brand: Text, department: Text, category: Text, status: Text,
    attributes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    brand_id: Uuid, category_id: Uuid, season: Text, merchandise_hierarchy: Json
} }

mirror! { SKUS: "skus" of "sku" by 1 {
    sku_id: Uuid, product_id: Uuid, sku_code: Text, gtin14: Text, uom: Text, list_price_minor: Int, currency: Text,
    active: Bool, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    type: Text, variant_attributes: Json, cost_minor: Int, tax_class: Text
} }

mirror! { BRANDS: "brands" of "brand" by 1 {
    brand_id: Uuid, brand_code: Text, name: Text, active: Bool, attributes: Json, source_updated_at: Timestamp,
    row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { CATEGORIES: "categories" of "category" by 1 {
    category_id: Uuid, category_code: Text, name: Text, parent_id: Uuid, parent_path: Json, path: Json, active: Bool,
    attributes: Json, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { SKU_GTINS: "sku_gtins" of "sku_gtin" by 2 {
    sku_id: Uuid, gtin14: Text, is_global: Bool
} }

mirror! { STORE_HOURS: "store_hours" of "store_hours" by 3 {
    store_id: Uuid, weekday: Int, opens: Text, closes: Text
} }

mirror! { STORE_DAYS: "store_days" of "store_day" by 2 {
    store_id: Uuid, day: Date, opens: Text, closes: Text, name: Text
} }

mirror! { PRICES: "prices" of "price" by 1 {
    price_id: Uuid, price_code: Text, sku_id: Uuid, store_id: Uuid, channel: Text, type: Text, amount_minor: Int,
    currency: Text, valid: Text, priority: Int, withdrawn: Bool, source_updated_at: Timestamp, row_version: Int,
    created_at: Timestamp, updated_at: Timestamp
} }

mirror! { BUNDLE_COMPONENTS: "bundle_components" of "bundle_component" by 3 {
    bundle_sku_id: Uuid, component_sku_id: Uuid, since: Timestamp, until: Timestamp, quantity: Decimal
} }
