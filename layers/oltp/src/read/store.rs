use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::STORE_TYPES;

impl Entity {
    /// A place of sale.
    pub const STORE: &Self = &Self {
        name: "store",
        path: "stores",
        about: "A place of sale",
        table: "crm.store",
        id: Column::uuid("store_id"),
        key: Key::Code("store_code"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "status", about: "Type", takes: Takes::OneOf(STORE_TYPES), sql: "t.type = {}" },
            Filter { name: "region", about: "Region", takes: Takes::Text, sql: "t.region = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::text("store_code"), Column::text("name")],
        ..Self::BLANK
    };
}
