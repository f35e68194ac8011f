use super::entity::{Column, Entity, Filter, Key, Takes};
use crate::command::{AD_LEVELS, CAMPAIGN_CHANNELS, CAMPAIGN_STATUSES};

impl Entity {
    /// A campaign.
    pub const CAMPAIGN: &Self = &Self {
        name: "campaign",
        path: "campaigns",
        about: "A campaign",
        table: "crm.campaign",
        id: Column::uuid("campaign_id"),
        key: Key::Code("campaign_code"),
        filters: &[
            Filter::UPDATED_SINCE,
            Filter::status(CAMPAIGN_STATUSES),
            Filter { name: "channel", about: "Channel", takes: Takes::OneOf(CAMPAIGN_CHANNELS), sql: "t.channel = {}" },
        ],
        sorts: &[Column::time("updated_at"), Column::text("campaign_code")],
        ..Self::BLANK
    };

    /// What a day of advertising cost.
    pub const AD_SPEND: &Self = &Self {
        name: "ad_spend",
        path: "ad-spend",
        about: "What a day of advertising cost",
        table: "crm.ad_spend",
        id: Column::uuid("ad_spend_id"),
        shows: &[
            ("conversions", "trim_scale(t.conversions)::text"),
            ("campaign_code", "(select k.campaign_code from crm.campaign k where k.campaign_id = t.campaign_id)"),
        ],
        filters: &[
            Filter::UPDATED_SINCE,
            Filter { name: "platform", about: "Platform", takes: Takes::Text, sql: "t.platform = {}" },
            Filter { name: "level", about: "Level of the report", takes: Takes::OneOf(AD_LEVELS), sql: "t.level = {}" },
            Filter { name: "day_since", about: "From this day on", takes: Takes::Day, sql: "t.day >= {}" },
            Filter { name: "day_until", about: "Before this day", takes: Takes::Day, sql: "t.day < {}" },
        ],
        sorts: &[Column::time("updated_at")],
        ..Self::BLANK
    };
}
