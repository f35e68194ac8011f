//! Campaigns, and what advertising costs.

use super::Asked;
use crate::check::{
    AMOUNT_MAX, CODE_MAX, Checked, TITLE_MAX, WORD_MAX, amount, attributes, currency, days, one_of, optional, past,
    quantity, text, window,
};
use crate::error::OltpError;
use jiff::civil::{Date, date};
use model::{Decimal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Channels of campaigns.
pub(crate) const CAMPAIGN_CHANNELS: &[&str] = &["email", "sms", "push", "phone", "post", "ads", "web", "store"];
/// Statuses of campaigns.
pub(crate) const CAMPAIGN_STATUSES: &[&str] = &["draft", "active", "paused", "ended"];
/// Levels of advertising reports.
pub(crate) const AD_LEVELS: &[&str] = &["account", "campaign", "ad_group", "ad"];

/// A campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCampaign {
    /// Your code of the campaign; identifies it.
    #[schema(example = "summer-26")]
    pub campaign_code: String,
    /// Name.
    pub name: String,
    /// email, sms, push, phone, post, ads, web or store.
    #[schema(example = "email")]
    pub channel: String,
    /// draft (default), active, paused or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub starts_at: Option<Timestamp>,
    /// When it ends; after its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub ends_at: Option<Timestamp>,
    /// What it may cost, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_minor: Option<i64>,
    /// ISO 4217 code of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Anything else.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutCampaign {
    const NOUN: &'static str = "campaign";
    const PATH: &'static str = "campaigns";
    const ABOUT: &'static str = "Create or update a campaign";

    fn example() -> Value {
        json!({"campaign_code": "summer-26", "name": "Summer", "channel": "email", "status": "active",
            "budget_minor": 500_000, "currency": "USD"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/campaign_code", &self.campaign_code, CODE_MAX)?;
        text("/name", &self.name, TITLE_MAX)?;
        one_of("/channel", Some(&self.channel), CAMPAIGN_CHANNELS)?;
        one_of("/status", self.status.as_deref(), CAMPAIGN_STATUSES)?;
        window("/starts_at", self.starts_at, "/ends_at", self.ends_at)?;
        if let Some(budget) = self.budget_minor {
            amount("/budget_minor", budget, 0)?;
            if self.currency.is_none() {
                return Err(OltpError::invalid("oltp.missing", "/currency", "a budget needs its currency"));
            }
        }
        self.currency.as_deref().map_or(Ok(()), currency)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.campaign_code.clone()
    }
}

/// What a day of a level of an advertising account is reported to have cost. Platforms restate their reports: a later one
/// replaces an earlier one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutAdSpend {
    /// Platform, such as `meta`.
    #[schema(example = "meta")]
    pub platform: String,
    /// Account on the platform.
    pub account: String,
    /// account, campaign, ad_group or ad.
    #[schema(example = "campaign")]
    pub level: String,
    /// The platform's id of the account, campaign, group or ad.
    pub level_no: String,
    /// The day in the account's time zone, `YYYY-MM-DD`.
    #[schema(value_type = String, format = "date")]
    pub day: Date,
    /// How the platform parted the figures, such as `country=US`; empty when it did not.
    #[serde(default)]
    pub breakdown: String,
    /// ISO 4217 code of the amounts.
    #[schema(example = "USD")]
    pub currency: String,
    /// Cost, in minor units.
    pub spend_minor: i64,
    /// Times shown.
    #[serde(default)]
    pub impressions: i64,
    /// Clicks.
    #[serde(default)]
    pub clicks: i64,
    /// Conversions that the platform claims, a decimal text; fractions are shares.
    #[serde(default)]
    #[schema(value_type = String, example = "1.5")]
    pub conversions: Decimal,
    /// What they were worth, as the platform claims, in minor units.
    #[serde(default)]
    pub conversion_value_minor: i64,
    /// Code of the campaign that it belongs to, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign_code: Option<String>,
    /// When it was reported; an older report than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutAdSpend {
    const NOUN: &'static str = "ad_spend";
    const PATH: &'static str = "ad-spend";
    const ABOUT: &'static str = "Report what advertising cost on a day";

    fn example() -> Value {
        json!({"platform": "meta", "account": "act-1", "level": "campaign", "level_no": "120210", "day": "2026-01-31",
            "currency": "USD", "spend_minor": 12_345, "impressions": 10_000, "clicks": 250, "conversions": "7.5"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/platform", &self.platform, 64)?;
        text("/account", &self.account, CODE_MAX)?;
        one_of("/level", Some(&self.level), AD_LEVELS)?;
        text("/level_no", &self.level_no, CODE_MAX)?;
        days("/day", self.day, date(2000, 1, 1), now)?;
        optional("/breakdown", Some(&self.breakdown), WORD_MAX)?;
        currency(&self.currency)?;
        amount("/spend_minor", self.spend_minor, 0)?;
        amount("/impressions", self.impressions, 0)?;
        amount("/clicks", self.clicks, 0)?;
        quantity("/conversions", self.conversions)?;
        amount("/conversion_value_minor", self.conversion_value_minor, -AMOUNT_MAX)?;
        optional("/campaign_code", self.campaign_code.as_deref(), CODE_MAX)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        [&self.platform, &self.account, &self.level, &self.level_no, &self.day.to_string(), &self.breakdown]
            .map(String::as_str)
            .join("\0")
    }
}
