//! Members.

use super::address::{self, AddressValue};
use super::consent::{self, ConsentBody, ConsentValue};
use super::identity::{self, MemberIdentityValue, TokenBody};
use super::{Asked, Written, write};
use crate::check::{
    CODE_MAX, Checked, WORD_MAX, attributes, between, country, days, one_of, optional, past, text, timezone,
};
use crate::error::OltpError;
use jiff::civil::date;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// A member. In an update of a known member, what is left out stays as it is: members are put together from many channels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutMember {
    /// Your number of the member; identifies it.
    #[schema(example = "household-1")]
    pub member_no: String,
    /// active (default), suspended or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// First name. Personal: kept apart, never on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Birth date, `YYYY-MM-DD`. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub birth_date: Option<jiff::civil::Date>,
    /// Postal addresses to put, each by its label; labels that do not come stay. Personal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressValue>,
    /// Tier, as you say it: one that differs from the stored one holds, whatever the orders say, until it is given back by
    /// `members/tier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_code: Option<String>,
    /// When the member joined; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub enrolled_at: Option<Timestamp>,
    /// Where the member joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrol_channel: Option<String>,
    /// Code of the home store, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_store_code: Option<String>,
    /// BCP 47 language tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA time zone; quiet hours follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Identities to add. A strong one that another member holds is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<MemberIdentityValue>,
    /// Consents to record; each goes by its own time, also where `source_updated_at` is older than what is stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<ConsentValue>,
    /// Anything else that is not personal.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one adds identities and consents, and changes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutMember {
    const NOUN: &'static str = "member";
    const PATH: &'static str = "members";
    const ABOUT: &'static str = "Create or update a member";

    fn example() -> Value {
        json!({"member_no": "household-1", "first_name": "Ann", "home_store_code": "367",
            "addresses": [{"label": "home", "lines": ["1 Main Street"], "postal_code": "45202", "city": "Cincinnati", "country_code": "US"}],
            "identities": [{"kind": "email", "value": "ann@example.com"}],
            "consents": [{"purpose": "marketing", "channel": "email", "status": "granted", "status_at": "2026-01-31T12:00:00Z"}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/member_no", &self.member_no, CODE_MAX)?;
        one_of("/status", self.status.as_deref(), &["active", "suspended", "closed"])?;
        optional("/first_name", self.first_name.as_deref(), WORD_MAX)?;
        optional("/last_name", self.last_name.as_deref(), WORD_MAX)?;
        if let Some(day) = self.birth_date {
            days("/birth_date", day, date(1900, 1, 1), now)?;
        }
        optional("/tier_code", self.tier_code.as_deref(), WORD_MAX)?;
        if let Some(at) = self.enrolled_at {
            between("/enrolled_at", at, 1900, now)?;
        }
        optional("/enrol_channel", self.enrol_channel.as_deref(), WORD_MAX)?;
        optional("/home_store_code", self.home_store_code.as_deref(), CODE_MAX)?;
        optional("/locale", self.locale.as_deref(), 35)?;
        timezone(self.timezone.as_deref())?;
        country("/country_code", self.country_code.as_deref())?;
        address::check(&self.addresses)?;
        identity::check(&self.identities, now)?;
        consent::check(&self.consents, now)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.member_no.clone()
    }

    fn write(&self, tokens: &Tokeniser, now: Timestamp) -> Written {
        write(&member(self, tokens, now)?)
    }
}

#[derive(Serialize)]
struct MemberBody<'a> {
    #[serde(flatten)]
    member: &'a PutMember,
    account_id: Uuid,
    tokens: Vec<TokenBody>,
    granted: Vec<ConsentBody<'a>>,
    now: Timestamp,
}

fn member<'a>(body: &'a PutMember, tokens: &Tokeniser, now: Timestamp) -> Result<MemberBody<'a>, OltpError> {
    Ok(MemberBody {
        member: body,
        account_id: Uuid::now_v7(),
        tokens: identity::tokens(&body.identities, tokens)?,
        granted: consent::written(&body.consents, now),
        now,
    })
}
