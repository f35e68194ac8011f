use super::entity::{Column, Entity, Filter, Takes};

const TYPES: &[&str] = &[
    "earn", "activate", "burn", "refund", "reserve", "capture", "release", "expire", "reverse", "repay", "adjust",
    "transfer", "merge", "unmerge",
];

impl Entity {
    /// A rule of a programme of points.
    pub const POINTS_PROGRAM: &Self = &Self {
        name: "points_program",
        path: "points/programs",
        about: "A rule of a programme of points",
        table: "crm.points_program",
        id: Column::uuid("program_id"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "program", about: "Code of the programme", takes: Takes::Text, sql: "t.program_code = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::time("valid_from")],
        ..Self::BLANK
    };

    /// A side of an entry of the points ledger.
    pub const POINTS_ENTRY: &Self = &Self {
        name: "points_entry",
        path: "points/entries",
        about: "A side of an entry of the points ledger; the sides of an entry add up to zero",
        table: "crm.points_ledger",
        id: Column::uuid("entry_id"),
        tie: &[Column { name: "side", kind: "smallint" }],
        shows: &[("account", "(select a.kind from crm.points_account a where a.account_id = t.account_id)")],
        filters: &[
            // By the accounts: the ledger is indexed by them.
            Filter {
                name: "member",
                about: "The member: our id or your number",
                takes: Takes::Code,
                sql:
                    "t.member_id is not null and t.account_id = any (array(select a.account_id from crm.points_account a
                    where a.member_id = coalesce((select m.member_id from crm.member m where m.member_id = {id}),
                        (select m.member_id from crm.member m where m.member_no = {}))))",
            },
            Filter {
                name: "order",
                about: "The order: our id or `source:order_no`",
                takes: Takes::Code,
                sql: "t.member_id is not null and t.order_id = coalesce(
                    (select o.order_id from crm.sales_order o where o.order_id = {id}),
                    (select o.order_id from crm.sales_order o
                        where (o.source, o.order_no) = (split_part({}, ':', 1), substr({}, strpos({}, ':') + 1))))",
            },
            Filter { name: "type", about: "Type of the entry", takes: Takes::OneOf(TYPES), sql: "t.type = {}" },
        ],
        ..Self::BLANK
    };

    /// Points that expire or cannot be spent yet.
    pub const POINTS_LOT: &Self = &Self {
        name: "points_lot",
        path: "points/lots",
        about: "Points that expire or cannot be spent yet, and what is left of them",
        table: "crm.points_lot",
        id: Column::uuid("lot_id"),
        filters: &[Filter::MEMBER, Filter::ORDER],
        ..Self::BLANK
    };

    /// Points kept for a purchase under way.
    pub const POINTS_RESERVATION: &Self = &Self {
        name: "points_reservation",
        path: "points/reservations",
        about: "Points kept for a purchase under way",
        table: "crm.points_reservation",
        id: Column::uuid("reservation_id"),
        filters: &[Filter::UPDATED_SINCE, Filter::status(&["held", "captured", "released", "expired"]), Filter::MEMBER],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };
}
