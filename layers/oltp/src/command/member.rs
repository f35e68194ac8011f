//! Members, their identities and consents.

use super::{Asked, Written, write};
use crate::check::{
    CODE_MAX, Checked, WORD_MAX, attributes, between, count, country, days, far, one_of, optional, past, text, timezone,
};
use crate::error::OltpError;
use jiff::civil::date;
use model::{IdentityKind, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

const IDENTITIES_MAX: usize = 32;
const CONSENTS_MAX: usize = 64;

/// A way in which a member is recognised.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityValue {
    /// email, phone, card, anonymous or external.
    #[schema(value_type = String, example = "email")]
    pub kind: IdentityKind,
    /// The value.
    #[schema(example = "ann@example.com")]
    pub value: String,
}

/// Consent for one purpose on one channel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentValue {
    /// marketing, personalisation, analytics or ads_sharing.
    #[schema(example = "marketing")]
    pub purpose: String,
    /// email, sms, push, phone, post, ads or web.
    #[schema(example = "email")]
    pub channel: String,
    /// granted, denied or revoked.
    #[schema(example = "granted")]
    pub status: String,
    /// Since when; now when absent. An older status than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub status_at: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
    /// Where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

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
    /// Tier.
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
    /// Identities to add. One that another member holds is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityValue>,
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
        country(self.country_code.as_deref())?;
        count("/identities", self.identities.len(), 0, IDENTITIES_MAX)?;
        count("/consents", self.consents.len(), 0, CONSENTS_MAX)?;
        consents(&self.consents, now)?;
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

fn consents(consents: &[ConsentValue], now: Timestamp) -> Checked {
    let mut seen = HashSet::new();
    for (i, consent) in consents.iter().enumerate() {
        let at = |field: &str| format!("/consents/{i}/{field}");
        let purposes = ["marketing", "personalisation", "analytics", "ads_sharing"];
        let channels = ["email", "sms", "push", "phone", "post", "ads", "web"];
        one_of(&at("purpose"), Some(&consent.purpose), &purposes)?;
        one_of(&at("channel"), Some(&consent.channel), &channels)?;
        one_of(&at("status"), Some(&consent.status), &["granted", "denied", "revoked"])?;
        optional(&at("source"), consent.source.as_deref(), WORD_MAX)?;
        past(&at("status_at"), consent.status_at, now)?;
        far(&at("expires_at"), consent.expires_at)?;
        if !seen.insert((&consent.purpose, &consent.channel)) {
            let detail = "each purpose and channel comes once in a command";
            return Err(OltpError::invalid("oltp.duplicate_consent", at("channel"), detail));
        }
    }
    Ok(())
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

#[derive(Serialize)]
struct TokenBody {
    id: Uuid,
    n: usize,
    kind: IdentityKind,
    token: String,
    value: String,
}

#[derive(Serialize)]
struct ConsentBody<'a> {
    id: Uuid,
    purpose: &'a str,
    channel: &'a str,
    status: &'a str,
    status_at: Timestamp,
    /// Whether the time came with the command: a status repeated without one is no news.
    timed: bool,
    expires_at: Option<Timestamp>,
    source: Option<&'a str>,
}

fn member<'a>(body: &'a PutMember, tokens: &Tokeniser, now: Timestamp) -> Result<MemberBody<'a>, OltpError> {
    let identities = body.identities.iter().enumerate().map(|(n, identity)| {
        let fail = |error: model::identity::IdentityError| {
            OltpError::invalid("oltp.invalid_identity", format!("/identities/{n}/value"), error.to_string())
        };
        let token = tokens.identify(identity.kind, &identity.value).map_err(fail)?.token;
        let value = identity.kind.normalise(&identity.value).map_err(fail)?;
        Ok(TokenBody { id: Uuid::now_v7(), n, kind: identity.kind, token, value })
    });
    let consents = body.consents.iter().map(|consent| ConsentBody {
        id: Uuid::now_v7(),
        purpose: &consent.purpose,
        channel: &consent.channel,
        status: &consent.status,
        status_at: consent.status_at.unwrap_or(now),
        timed: consent.status_at.is_some(),
        expires_at: consent.expires_at,
        source: consent.source.as_deref(),
    });
    Ok(MemberBody {
        member: body,
        account_id: Uuid::now_v7(),
        tokens: identities.collect::<Result<_, OltpError>>()?,
        granted: consents.collect(),
        now,
    })
}
