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
        whole: &[
            (
                "gtins",
                "(select coalesce(jsonb_agg(g.gtin14 order by g.gtin14), '[]') from crm.sku_gtin g where g.sku_id = t.sku_id)",
            ),
            (
                "components",
                "(select jsonb_agg(jsonb_build_object('sku_code', k.sku_code, 'quantity', trim_scale(c.quantity)::text) order by k.sku_code)
                    from crm.bundle_component c join crm.sku k on k.sku_id = c.component_sku_id
                    where c.bundle_sku_id = t.sku_id and c.until is null)",
            ),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "type", about: "Type", takes: Takes::OneOf(&["single", "bundle"]), sql: "t.type = {}" },
            Filter {
                name: "gtin",
                about: "A GTIN of it, as 14 digits",
                takes: Takes::Text,
                sql: "t.sku_id in (select g.sku_id from crm.sku_gtin g where g.gtin14 = lpad({}, 14, '0'))",
            },
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
