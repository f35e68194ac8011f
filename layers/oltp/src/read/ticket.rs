use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::{TICKET_STATUSES, TICKET_TYPES};

impl Entity {
    /// A ticket of the service desk, with its history.
    pub const TICKET: &Self = &Self {
        name: "ticket",
        path: "tickets",
        about: "A ticket of the service desk, with its history",
        table: "crm.ticket",
        id: Column::uuid("ticket_id"),
        key: Key::Numbered { number: "ticket_no" },
        whole: &[(
            "events",
            "(select coalesce(jsonb_agg(to_jsonb(e) - 'ticket_id' - 'member_id' order by e.at, e.ticket_event_id), '[]')
                from crm.ticket_event e where e.ticket_id = t.ticket_id)",
        )],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(TICKET_STATUSES),
            Filter { name: "type", about: "Type", takes: Takes::OneOf(TICKET_TYPES), sql: "t.type = {}" },
            Filter::MEMBER,
            Filter::ORDER,
        ],
        sorts: &[Column::time("updated_at"), Column::time("opened_at")],
        ..Self::BLANK
    };
}
