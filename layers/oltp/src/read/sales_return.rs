use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::RETURN_STATUSES;

impl Entity {
    /// A return, with lines and refunds.
    pub const RETURN: &Self = &Self {
        name: "return",
        path: "returns",
        about: "A return, with lines and refunds",
        table: "crm.sales_return",
        id: Column::uuid("return_id"),
        key: Key::Numbered { number: "return_no" },
        shows: &[("units", "trim_scale(t.units)::text")],
        whole: &[
            ("order_source", "(select o.source from crm.sales_order o where o.order_id = t.order_id)"),
            ("order_no", "(select o.order_no from crm.sales_order o where o.order_id = t.order_id)"),
            ("store_code", "(select s.store_code from crm.store s where s.store_id = t.store_id)"),
            ("member_no", "(select m.member_no from crm.member m where m.member_id = t.member_id)"),
            (
                "lines",
                "(select coalesce(jsonb_agg(to_jsonb(l) - 'return_id' - 'member_id' || jsonb_build_object(
                        'quantity', trim_scale(l.quantity)::text, 'sku_code', k.sku_code) order by l.line_no), '[]')
                    from crm.return_line l left join crm.sku k using (sku_id) where l.return_id = t.return_id)",
            ),
            (
                "refunds",
                "(select coalesce(jsonb_agg(to_jsonb(f) - 'return_id' - 'order_id' - 'member_id' order by f.refund_no), '[]')
                    from crm.refund f where f.return_id = t.return_id)",
            ),
            ("exchange_order_no", "(select o.order_no from crm.sales_order o where o.order_id = t.exchange_order_id)"),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(RETURN_STATUSES),
            Filter::MEMBER,
            Filter::STORE,
            Filter {
                name: "returned_since",
                about: "Returned at or after this time",
                takes: Takes::Time,
                sql: "t.returned_at >= {}",
            },
            Filter {
                name: "returned_until",
                about: "Returned before this time",
                takes: Takes::Time,
                sql: "t.returned_at < {}",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::time("returned_at")],
        ..Self::BLANK
    };
}
