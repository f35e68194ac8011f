use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// An entry of the audit log.
    pub const AUDIT: &Self = &Self {
        name: "audit",
        path: "audit",
        about: "An entry of the audit log: who did what to which record, when, why and by which request",
        guarded: true,
        table: "crm.audit_log",
        id: Column::whole("audit_id"),
        key: Key::Ours,
        filters: &[
            Filter {
                name: "entity",
                about: "Noun of the record, such as order",
                takes: Takes::Text,
                sql: "t.entity = {}",
            },
            Filter { name: "entity_id", about: "Our id of the record", takes: Takes::Text, sql: "t.entity_id = {}" },
            Filter {
                name: "actor",
                about: "Id of the key, or name of the part of the house that acted",
                takes: Takes::Text,
                sql: "t.actor = {}",
            },
            Filter {
                name: "action",
                about: "What was done, such as created",
                takes: Takes::Text,
                sql: "t.action = {}",
            },
            Filter { name: "since", about: "At or after this time", takes: Takes::Time, sql: "t.at >= {}" },
            Filter { name: "until", about: "Before this time", takes: Takes::Time, sql: "t.at < {}" },
        ],
        ..Self::BLANK
    };
}
