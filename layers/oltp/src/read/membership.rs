use super::entity::{Column, Entity, Filter, Takes};
use crate::command::MEMBERSHIP_STATUSES;

impl Entity {
    /// A membership of a programme that others run.
    pub const EXTERNAL_MEMBERSHIP: &Self = &Self {
        name: "external_membership",
        path: "external-memberships",
        about: "A member's membership of a programme that others run",
        table: "crm.external_membership",
        id: Column::uuid("external_membership_id"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(MEMBERSHIP_STATUSES),
            Filter::MEMBER,
            Filter { name: "program", about: "Programme", takes: Takes::Text, sql: "t.program = {}" },
        ],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };
}
