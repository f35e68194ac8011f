use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::ORDER_STATUSES;

impl Entity {
    /// An order, with lines, payments, refunds and events.
    pub const ORDER: &Self = &Self {
        name: "order",
        path: "orders",
        about: "An order, with lines, payments, refunds and events",
        table: "crm.sales_order",
        id: Column::uuid("order_id"),
        key: Key::Numbered { number: "order_no" },
        shows: &[("units", "trim_scale(t.units)::text")],
        whole: &[
            ("store_code", "(select s.store_code from crm.store s where s.store_id = t.store_id)"),
            ("member_no", "(select m.member_no from crm.member m where m.member_id = t.member_id)"),
            (
                "lines",
                "(select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' - 'member_id' || jsonb_build_object(
                        'quantity', trim_scale(l.quantity)::text, 'fulfilled_quantity', trim_scale(l.fulfilled_quantity)::text,
                        'sku_code', k.sku_code) order by l.line_no), '[]')
                    from crm.order_line l left join crm.sku k using (sku_id) where l.order_id = t.order_id)",
            ),
            (
                "payments",
                "(select coalesce(jsonb_agg(to_jsonb(p) - 'order_id' - 'member_id' order by p.payment_no), '[]')
                    from crm.payment p where p.order_id = t.order_id)",
            ),
            (
                "refunds",
                "(select coalesce(jsonb_agg(to_jsonb(f) - 'order_id' - 'member_id' || jsonb_build_object(
                        'return_no', r.return_no) order by f.refund_id), '[]')
                    from crm.refund f join crm.sales_return r using (return_id) where f.order_id = t.order_id)",
            ),
            (
                "events",
                "(select coalesce(jsonb_agg(to_jsonb(e) - 'order_id' - 'member_id' order by e.event_id), '[]')
                    from crm.order_event e where e.order_id = t.order_id)",
            ),
        ],
        merges: &["(select jsonb_build_object('addresses', p.addresses) from crm.order_pii p where p.order_id = t.order_id)"],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(ORDER_STATUSES),
            Filter {
                name: "payment_status",
                about: "Whether it is paid",
                takes: Takes::OneOf(&["unpaid", "partially_paid", "paid", "partially_refunded", "refunded"]),
                sql: "t.payment_status = {}",
            },
            Filter {
                name: "fulfilment_status",
                about: "Whether its goods were handed over",
                takes: Takes::OneOf(&[
                    "unfulfilled",
                    "partially_fulfilled",
                    "fulfilled",
                    "partially_returned",
                    "returned",
                ]),
                sql: "t.fulfilment_status = {}",
            },
            Filter::MEMBER,
            Filter::STORE,
            Filter {
                name: "placed_since",
                about: "Placed at or after this time",
                takes: Takes::Time,
                sql: "t.placed_at >= {}",
            },
            Filter {
                name: "placed_until",
                about: "Placed before this time",
                takes: Takes::Time,
                sql: "t.placed_at < {}",
            },
            Filter { name: "business_date", about: "Business day", takes: Takes::Day, sql: "t.business_date = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::time("placed_at")],
        ..Self::BLANK
    };
}
