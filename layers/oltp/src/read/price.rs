use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// A price.
    pub const PRICE: &Self = &Self {
        name: "price",
        path: "prices",
        about: "A price of a SKU for a time",
        table: "crm.price",
        id: Column::uuid("price_id"),
        key: Key::Code("price_code"),
        hides: &["valid", "scope"],
        shows: &[
            ("sku_code", "(select k.sku_code from crm.sku k where k.sku_id = t.sku_id)"),
            ("store_code", "(select s.store_code from crm.store s where s.store_id = t.store_id)"),
            ("valid_from", "lower(t.valid)"),
            ("valid_until", "upper(t.valid)"),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::SKU,
            Filter::STORE,
            Filter { name: "type", about: "Type", takes: Takes::OneOf(&["regular", "promo"]), sql: "t.type = {}" },
            Filter {
                name: "valid_at",
                about: "Holds at this time",
                takes: Takes::Time,
                sql: "t.valid @> {} and not t.withdrawn",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::text("price_code")],
        ..Self::BLANK
    };
}
