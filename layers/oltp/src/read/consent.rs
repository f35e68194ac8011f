use super::entity::{Column, Entity, Filter};

impl Entity {
    /// A statement about consent.
    pub const CONSENT_EVENT: &Self = &Self {
        name: "consent_event",
        path: "consent-events",
        about: "What a member once said about a purpose on a channel",
        table: "crm.consent_event",
        id: Column::uuid("consent_event_id"),
        filters: &[Filter::MEMBER],
        sorts: &[Column::time("recorded_at")],
        ..Self::BLANK
    };
}
