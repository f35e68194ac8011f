use super::entity::{Column, Entity, Filter, Key};
use crate::command::SUBSCRIPTION_STATUSES;

impl Entity {
    /// A standing order of a member.
    pub const SUBSCRIPTION: &Self = &Self {
        name: "subscription",
        path: "subscriptions",
        about: "A standing order of a member",
        table: "crm.subscription",
        id: Column::uuid("subscription_id"),
        key: Key::Numbered { number: "subscription_no" },
        shows: &[
            ("quantity", "trim_scale(t.quantity)::text"),
            ("sku_code", "(select k.sku_code from crm.sku k where k.sku_id = t.sku_id)"),
        ],
        filters: &[Filter::UPDATED_SINCE, Filter::status(SUBSCRIPTION_STATUSES), Filter::MEMBER],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };
}
