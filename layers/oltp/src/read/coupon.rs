use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::{COUPON_STATUSES, DEFINITION_STATUSES, REDEMPTION_STATUSES};

/// For all that is of a definition, by the column `definition_id`.
const DEFINITION: Filter = Filter {
    name: "definition",
    about: "The definition: our id or your code",
    takes: Takes::Code,
    sql:
        "t.definition_id = coalesce((select d.definition_id from crm.coupon_definition d where d.definition_id = {id}),
        (select d.definition_id from crm.coupon_definition d where d.definition_code = {}))",
};

impl Entity {
    /// A definition of coupons, with what is left of its limits.
    pub const COUPON_DEFINITION: &Self = &Self {
        name: "coupon_definition",
        path: "coupon-definitions",
        about: "A definition of coupons, with what is left of its limits",
        table: "crm.coupon_definition",
        id: Column::uuid("definition_id"),
        key: Key::Code("definition_code"),
        shows: &[("min_quantity", "trim_scale(t.min_quantity)::text")],
        whole: &[
            (
                "uses_left",
                "(select sum(l.uses_left)::bigint from crm.coupon_allowance l where l.definition_id = t.definition_id)",
            ),
            (
                "budget_left_minor",
                "(select sum(l.money_left)::bigint from crm.coupon_allowance l where l.definition_id = t.definition_id)",
            ),
        ],
        filters: &[Filter::UPDATED_SINCE, Filter::status(DEFINITION_STATUSES)],
        sorts: &[Column::time("updated_at"), Column::text("definition_code")],
        ..Self::BLANK
    };

    /// An issued code. The code itself is worth money to whoever reads it: only those who see personal values see it.
    pub const COUPON: &Self = &Self {
        name: "coupon",
        path: "coupons",
        about: "An issued code",
        table: "crm.coupon",
        id: Column::uuid("coupon_id"),
        key: Key::Ours,
        shows: &[(
            "code",
            "(select s.code from crm.coupon_code s
                where s.coupon_id = t.coupon_id and current_setting('storewide.pii', true) = 'on')",
        )],
        whole: &[
            ("definition_code", "(select d.definition_code from crm.coupon_definition d where d.definition_id = t.definition_id)"),
            ("member_no", "(select m.member_no from crm.member m where m.member_id = t.member_id)"),
            (
                "events",
                "(select coalesce(jsonb_agg(to_jsonb(e) - 'coupon_id' - 'definition_id' order by e.event_id), '[]')
                    from (select * from crm.coupon_event e where e.coupon_id = t.coupon_id order by e.event_id desc limit 100) e)",
            ),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(COUPON_STATUSES),
            Filter::MEMBER,
            DEFINITION,
            Filter { name: "batch", about: "The batch: our id", takes: Takes::Code, sql: "t.batch_id = {id} and {} is not null" },
        ],
        sorts: &[Column::time("updated_at"), Column::time("issued_at")],
        ..Self::BLANK
    };

    /// A use of a code.
    pub const COUPON_REDEMPTION: &Self = &Self {
        name: "coupon_redemption",
        path: "coupon-redemptions",
        about: "A use of a code",
        table: "crm.coupon_redemption",
        id: Column::uuid("redemption_id"),
        key: Key::Ours,
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(REDEMPTION_STATUSES),
            Filter::MEMBER,
            DEFINITION,
            Filter {
                name: "order",
                about: "The order, which need not be there yet: `source:order_no`",
                takes: Takes::Text,
                sql: "(t.order_no, t.order_source) = (substr({}, strpos({}, ':') + 1), split_part({}, ':', 1))",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::time("created_at")],
        ..Self::BLANK
    };
}
