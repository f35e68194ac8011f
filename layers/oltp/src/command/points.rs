//! Points that move for other reasons than an order: earned, spent, adjusted, given to another member.

use super::identity::IdentityValue;
use super::{Asked, Written, write};
use crate::check::{CODE_MAX, Checked, TEXT_MAX, far, optional, text};
use crate::error::OltpError;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most points that a command moves.
pub(crate) const POINTS_MAX: i64 = 1_000_000_000_000;

/// A command that moves points. All of them go to one SQL function, which does them in the order in which they came.
pub(crate) trait Moving: Serialize + ToSchema {
    /// Name of the kind.
    const KIND: &'static str;
    /// Path below `/api/v1/`.
    const PLACE: &'static str;
    /// What it does, in one line.
    const WHAT: &'static str;

    /// A body for the documentation.
    fn sample() -> Value;

    /// Whether the body could be true.
    fn fits(&self, now: Timestamp) -> Checked;

    /// What the SQL function takes.
    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError>;
}

impl<T: Moving> Asked for T {
    const NOUN: &'static str = T::KIND;
    const PATH: &'static str = T::PLACE;
    const ABOUT: &'static str = T::WHAT;
    const ACTION: bool = true;

    fn example() -> Value {
        T::sample()
    }

    fn check(&self, now: Timestamp) -> Checked {
        self.fits(now)
    }

    /// Each is a thing of its own, however much it is like another.
    fn unique(&self) -> String {
        Uuid::now_v7().to_string()
    }

    /// All that move points stay in their order: the SQL function locks their members before it does any of them.
    fn locks(&self) -> String {
        String::new()
    }

    fn function(&self) -> &'static str {
        "points"
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        write(&self.asks(tokens)?)
    }
}

/// A member, named by your number or by an identity that it holds: one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberName {
    /// Your number of the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "household-1")]
    pub member_no: Option<String>,
    /// An identity of the member, such as its card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityValue>,
}

impl MemberName {
    /// A member by its number.
    #[must_use]
    pub fn number(member_no: impl Into<String>) -> Self {
        Self { member_no: Some(member_no.into()), identity: None }
    }

    pub(crate) fn check(&self, pointer: &str) -> Checked {
        if self.member_no.is_some() == self.identity.is_some() {
            return Err(OltpError::invalid("oltp.missing", pointer, "has either a `member_no` or an `identity`"));
        }
        self.member_no.as_deref().map_or(Ok(()), |number| text(&format!("{pointer}/member_no"), number, CODE_MAX))
    }

    pub(crate) fn named(&self, pointer: &str, tokens: &Tokeniser) -> Result<Value, OltpError> {
        let Some(identity) = &self.identity else { return Ok(json!({"member_no": self.member_no})) };
        let token = tokens.identify(identity.kind, &identity.value).map_err(|error| {
            OltpError::invalid("oltp.invalid_identity", format!("{pointer}/identity/value"), error.to_string())
        })?;
        Ok(json!({"kind": identity.kind, "token": token.token}))
    }
}

/// A number of points from 1.
pub(crate) fn points(points: i64) -> Checked {
    if (1..=POINTS_MAX).contains(&points) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", "/points", format!("between 1 and {POINTS_MAX}")))
}

fn words(reason: Option<&str>, reference: Option<&str>) -> Checked {
    optional("/reason", reason, TEXT_MAX)?;
    optional("/reference", reference, CODE_MAX)
}

fn expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Checked {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(OltpError::invalid("oltp.out_of_range", "/expires_at", "after now"));
    }
    far("/expires_at", expires_at)
}

/// Points earned by anything but an order: a review, a birthday, a game. What is owed is paid first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EarnPoints {
    /// Who earns them.
    pub member: MemberName,
    /// Points, at least 1.
    #[schema(example = 50)]
    pub points: i64,
    /// Programme that says when they can be spent and when they expire; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_code: Option<String>,
    /// When they expire; as the programme says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Your number of what they are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for EarnPoints {
    const KIND: &'static str = "points_earn";
    const PLACE: &'static str = "points/earn";
    const WHAT: &'static str = "Give a member points that no order earned";

    fn sample() -> Value {
        json!({"member": {"member_no": "household-1"}, "points": 50, "reason": "birthday"})
    }

    fn fits(&self, now: Timestamp) -> Checked {
        self.member.check("/member")?;
        points(self.points)?;
        optional("/program_code", self.program_code.as_deref(), CODE_MAX)?;
        expiry(self.expires_at, now)?;
        words(self.reason.as_deref(), self.reference.as_deref())
    }

    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "earn", "member": self.member.named("/member", tokens)?, "points": self.points,
            "program_code": self.program_code, "expires_at": self.expires_at, "reason": self.reason,
            "reference": self.reference}))
    }
}

/// Points spent at once: those that expire first go first. Refused where there are fewer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnPoints {
    /// Who spends them.
    pub member: MemberName,
    /// Points, at least 1.
    #[schema(example = 20)]
    pub points: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Your number of what they pay for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for BurnPoints {
    const KIND: &'static str = "points_burn";
    const PLACE: &'static str = "points/burn";
    const WHAT: &'static str = "Spend points";

    fn sample() -> Value {
        json!({"member": {"member_no": "household-1"}, "points": 20, "reference": "367-31198570044"})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        self.member.check("/member")?;
        points(self.points)?;
        words(self.reason.as_deref(), self.reference.as_deref())
    }

    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "burn", "member": self.member.named("/member", tokens)?, "points": self.points,
            "reason": self.reason, "reference": self.reference}))
    }
}

/// A correction by hand, up or down; never below what can be spent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustPoints {
    /// Whose points.
    pub member: MemberName,
    /// Points; negative to take some away. Not 0.
    #[schema(example = -10)]
    pub points: i64,
    /// When points that are given expire; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub expires_at: Option<Timestamp>,
    /// Why.
    #[schema(example = "Complaint settled")]
    pub reason: String,
    /// Your number of the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for AdjustPoints {
    const KIND: &'static str = "points_adjust";
    const PLACE: &'static str = "points/adjust";
    const WHAT: &'static str = "Correct a member's points by hand";

    fn sample() -> Value {
        json!({"member": {"member_no": "household-1"}, "points": -10, "reason": "Booked twice"})
    }

    fn fits(&self, now: Timestamp) -> Checked {
        self.member.check("/member")?;
        if self.points == 0 || self.points.checked_abs().is_none_or(|points| points > POINTS_MAX) {
            let detail = format!("between -{POINTS_MAX} and {POINTS_MAX}, and not 0");
            return Err(OltpError::invalid("oltp.out_of_range", "/points", detail));
        }
        if self.points < 0 && self.expires_at.is_some() {
            return Err(OltpError::invalid("oltp.invalid_value", "/expires_at", "only points that are given expire"));
        }
        expiry(self.expires_at, now)?;
        text("/reason", &self.reason, TEXT_MAX)?;
        words(None, self.reference.as_deref())
    }

    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "adjust", "member": self.member.named("/member", tokens)?, "points": self.points,
            "expires_at": self.expires_at, "reason": self.reason, "reference": self.reference}))
    }
}

/// Points from one member to another, within the limits of the programme `default`. Each part expires when it would have.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferPoints {
    /// Who gives them.
    pub member: MemberName,
    /// Who gets them.
    pub to: MemberName,
    /// Points, at least 1.
    #[schema(example = 25)]
    pub points: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Your number of the transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for TransferPoints {
    const KIND: &'static str = "points_transfer";
    const PLACE: &'static str = "points/transfer";
    const WHAT: &'static str = "Give points of a member to another";

    fn sample() -> Value {
        json!({"member": {"member_no": "household-1"}, "to": {"member_no": "household-2"}, "points": 25})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        self.member.check("/member")?;
        self.to.check("/to")?;
        points(self.points)?;
        words(self.reason.as_deref(), self.reference.as_deref())
    }

    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "transfer", "member": self.member.named("/member", tokens)?,
            "to": self.to.named("/to", tokens)?, "points": self.points, "reason": self.reason,
            "reference": self.reference}))
    }
}
