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
        whole: &[
            (
                "hours",
                "(select coalesce(jsonb_agg(to_jsonb(h) - 'store_id' order by h.weekday, h.opens), '[]')
                    from crm.store_hours h where h.store_id = t.store_id)",
            ),
            (
                "exceptions",
                "(select coalesce(jsonb_agg(to_jsonb(d) - 'store_id' order by d.day), '[]')
                    from crm.store_day d where d.store_id = t.store_id)",
            ),
            ("open_now", "crm.store_open((select s from crm.store s where s.store_id = t.store_id), now())"),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "status", about: "Type", takes: Takes::OneOf(STORE_TYPES), sql: "t.type = {}" },
            Filter { name: "region", about: "Region", takes: Takes::Text, sql: "t.region = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::text("store_code"), Column::text("name")],
        ..Self::BLANK
    };
}
