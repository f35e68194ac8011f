use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// A sellable variant.
    pub const SKU: &Self = &Self {
        name: "sku",
        path: "skus",
        about: "A sellable variant of a product",
        table: "crm.sku",
        id: Column::uuid("sku_id"),
        key: Key::Code("sku_code"),
        shows: &[("product_code", "(select p.product_code from crm.product p where p.product_id = t.product_id)")],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter {
                name: "status",
                about: "Whether it is sold",
                takes: Takes::OneOf(&["active", "inactive"]),
                sql: "t.active = ({} = 'active')",
            },
            Filter {
                name: "product",
                about: "The product: our id or your code",
                takes: Takes::Code,
                sql: "t.product_id = coalesce((select p.product_id from crm.product p where p.product_id = {id}),
                    (select p.product_id from crm.product p where p.product_code = {}))",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::text("sku_code")],
        ..Self::BLANK
    };
}
