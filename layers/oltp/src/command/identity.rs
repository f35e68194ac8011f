//! The ways in which members are recognised.

use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, count, past, text};
use crate::error::OltpError;
use model::identity::IdentityError;
use model::{Decimal, IdentityKind, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most identities of one command.
pub(crate) const IDENTITIES_MAX: usize = 32;

/// A way in which somebody is recognised.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityValue {
    /// email, phone, card, anonymous, external, relay_email or device.
    #[schema(value_type = String, example = "email")]
    pub kind: IdentityKind,
    /// The value; of an external id with its system before it, such as `shopify:123`.
    #[schema(example = "ann@example.com")]
    pub value: String,
}

/// How much an identity says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// It leads to one member.
    Strong,
    /// Several members may have it; it never decides alone.
    Weak,
}

/// A way in which a member is recognised.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberIdentityValue {
    /// email, phone, card, anonymous, external; always weak are relay_email (the address under which a marketplace hides a buyer's) and
    /// device.
    #[schema(value_type = String, example = "email")]
    pub kind: IdentityKind,
    /// The value; of an external id with its system before it, such as `shopify:123`.
    #[schema(example = "ann@example.com")]
    pub value: String,
    /// strong (default) or weak: several members may have a weak one, and it never decides alone. A weak one can become strong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub strength: Option<Strength>,
    /// When the member proved that it is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub verified_at: Option<Timestamp>,
    /// When it was seen with the member; the earliest and the latest are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub seen_at: Option<Timestamp>,
    /// How sure you are that it is theirs: 0 to 1, with up to three decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "0.9")]
    pub confidence: Option<Decimal>,
}

impl From<IdentityValue> for MemberIdentityValue {
    fn from(IdentityValue { kind, value }: IdentityValue) -> Self {
        Self { kind, value, strength: None, verified_at: None, seen_at: None, confidence: None }
    }
}

impl MemberIdentityValue {
    /// Its strength, with what its kind says.
    fn strength(&self) -> Strength {
        if self.kind.is_weak() { Strength::Weak } else { self.strength.unwrap_or(Strength::Strong) }
    }
}

/// An identity as the store takes it.
#[derive(Serialize)]
pub(crate) struct TokenBody {
    id: Uuid,
    n: usize,
    kind: IdentityKind,
    token: String,
    strength: Strength,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<Decimal>,
}

pub(crate) fn check(identities: &[MemberIdentityValue], now: Timestamp) -> Checked {
    count("/identities", identities.len(), 0, IDENTITIES_MAX)?;
    for (n, identity) in identities.iter().enumerate() {
        let at = |field: &str| format!("/identities/{n}/{field}");
        if identity.kind.is_weak() && identity.strength == Some(Strength::Strong) {
            let detail = "identities of this kind are always weak";
            return Err(OltpError::invalid("oltp.invalid_value", at("strength"), detail));
        }
        past(&at("verified_at"), identity.verified_at, now)?;
        past(&at("seen_at"), identity.seen_at, now)?;
        if let Some(confidence) = identity.confidence
            && (confidence.is_sign_negative() || confidence > Decimal::ONE || confidence.normalize().scale() > 3)
        {
            let detail = "between 0 and 1, with up to three decimals";
            return Err(OltpError::invalid("oltp.out_of_range", at("confidence"), detail));
        }
    }
    Ok(())
}

/// The identity behind a value; the pointer is where the value stands in the body.
pub(crate) fn token(
    kind: IdentityKind,
    value: &str,
    tokens: &Tokeniser,
    pointer: impl Fn() -> String,
) -> Result<model::Identity, OltpError> {
    let fail = |error: IdentityError| OltpError::invalid("oltp.invalid_identity", pointer(), error.to_string());
    tokens.identify(kind, value).map_err(fail)
}

pub(crate) fn tokens(identities: &[MemberIdentityValue], tokens: &Tokeniser) -> Result<Vec<TokenBody>, OltpError> {
    let written = identities.iter().enumerate().map(|(n, identity)| {
        let pointer = || format!("/identities/{n}/value");
        let token = token(identity.kind, &identity.value, tokens, pointer)?.token;
        let value = identity
            .kind
            .normalise(&identity.value)
            .map_err(|error| OltpError::invalid("oltp.invalid_identity", pointer(), error.to_string()))?;
        Ok(TokenBody {
            id: Uuid::now_v7(),
            n,
            kind: identity.kind,
            token,
            strength: identity.strength(),
            value,
            verified_at: identity.verified_at,
            seen_at: identity.seen_at,
            confidence: identity.confidence,
        })
    });
    written.collect()
}

/// Takes identities from a member. One that the member does not have is gone already.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlinkIdentities {
    /// Your number of the member.
    #[schema(example = "household-1")]
    pub member_no: String,
    /// The identities: 1 to 32.
    pub identities: Vec<IdentityValue>,
}

#[derive(Serialize)]
struct UnlinkBody<'a> {
    member_no: &'a str,
    tokens: Vec<model::Identity>,
}

impl Asked for UnlinkIdentities {
    const NOUN: &'static str = "member_unlink";
    const PATH: &'static str = "members/unlink";
    const ABOUT: &'static str = "Take identities from a member";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"member_no": "household-1", "identities": [{"kind": "phone", "value": "+15550109999"}]})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/member_no", &self.member_no, CODE_MAX)?;
        count("/identities", self.identities.len(), 1, IDENTITIES_MAX)
    }

    fn unique(&self) -> String {
        self.member_no.clone()
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        let pointer = |n: usize| move || format!("/identities/{n}/value");
        let told = self.identities.iter().enumerate();
        let told = told.map(|(n, identity)| token(identity.kind, &identity.value, tokens, pointer(n)));
        write(&UnlinkBody { member_no: &self.member_no, tokens: told.collect::<Result<_, _>>()? })
    }
}

/// Whom to look up, by one identity or by several that the till has at hand.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupMember {
    /// Kind of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "phone")]
    pub kind: Option<IdentityKind>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+15550109999")]
    pub value: Option<String>,
    /// Identities, 1 to 32, in the place of kind and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<IdentityValue>,
}

impl LookupMember {
    /// The identities asked for, as tokens.
    pub(crate) fn identities(&self, tokens: &Tokeniser) -> Result<Vec<model::Identity>, OltpError> {
        match (self.kind, &self.value, &self.candidates[..]) {
            (Some(kind), Some(value), []) => Ok(vec![token(kind, value, tokens, || "/value".to_owned())?]),
            (None, None, [_, ..]) => {
                count("/candidates", self.candidates.len(), 1, IDENTITIES_MAX)?;
                let told = self.candidates.iter().enumerate();
                told.map(|(n, identity)| {
                    token(identity.kind, &identity.value, tokens, || format!("/candidates/{n}/value"))
                })
                .collect()
            }
            _ => Err(OltpError::invalid("oltp.missing", "", "either kind and value, or candidates")),
        }
    }
}
