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
        shows: &[
            ("brand_code", "(select b.brand_code from crm.brand b where b.brand_id = t.brand_id)"),
            ("category_code", "(select c.category_code from crm.category c where c.category_id = t.category_id)"),
        ],
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
