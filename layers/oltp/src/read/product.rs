use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::PRODUCT_STATUSES;

impl Entity {
    /// A product (SPU).
    pub const PRODUCT: &Self = &Self {
        name: "product",
        path: "products",
        about: "A product (SPU)",
        table: "crm.product",
        id: Column::uuid("product_id"),
        key: Key::Code("product_code"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(PRODUCT_STATUSES),
            Filter { name: "brand", about: "Brand", takes: Takes::Text, sql: "t.brand = {}" },
            Filter { name: "category", about: "Category", takes: Takes::Text, sql: "t.category = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::text("product_code"), Column::text("title")],
        ..Self::BLANK
    };
}
