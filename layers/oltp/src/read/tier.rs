use super::entity::{Column, Entity, Filter, Key, Takes};

impl Entity {
    /// A tier.
    pub const TIER: &Self = &Self {
        name: "tier",
        path: "tiers",
        about: "A tier: what a member must reach for it",
        table: "crm.tier_definition",
        id: Column::uuid("tier_id"),
        key: Key::Code("tier_code"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter {
                name: "active",
                about: "Whether members are placed by it",
                takes: Takes::Flag,
                sql: "t.active = {}::boolean",
            },
        ],
        sorts: &[Column::time("updated_at"), Column::text("tier_code")],
        ..Self::BLANK
    };

    /// A change of a member's tier.
    pub const MEMBER_TIER: &Self = &Self {
        name: "member_tier",
        path: "member-tiers",
        about: "A tier that a member had for a time, and why it began",
        table: "crm.member_tier",
        id: Column::uuid("member_tier_id"),
        filters: &[Filter::MEMBER, Filter { name: "tier", about: "Tier", takes: Takes::Text, sql: "t.tier_code = {}" }],
        sorts: &[Column::time("since")],
        ..Self::BLANK
    };
}
