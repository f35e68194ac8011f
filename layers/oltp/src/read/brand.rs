use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// A brand.
    pub const BRAND: &Self = &Self {
        name: "brand",
        path: "brands",
        about: "A brand",
        table: "crm.brand",
        id: Column::uuid("brand_id"),
        key: Key::Code("brand_code"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "active", about: "Whether it is carried now", takes: Takes::Flag, sql: "t.active = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::text("brand_code"), Column::text("name")],
        ..Self::BLANK
    };
}
