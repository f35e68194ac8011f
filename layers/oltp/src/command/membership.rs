//! Memberships of programmes that others run.

use super::Asked;
use crate::check::{CODE_MAX, Checked, WORD_MAX, between, one_of, optional, past, source, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Statuses of external memberships.
pub(crate) const MEMBERSHIP_STATUSES: &[&str] = &["active", "suspended", "left"];
/// Largest balance of points elsewhere.
const POINTS_MAX: i64 = 1_000_000_000_000_000;

/// A member's membership of a programme that others run: a copy of what they say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutExternalMembership {
    /// The programme; `(program, external_no)` identifies the membership.
    #[schema(example = "airline")]
    pub program: String,
    /// Number of the member there.
    pub external_no: String,
    /// Your number of the member. A membership that another member holds is refused.
    #[schema(example = "household-1")]
    pub member_no: String,
    /// Level there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Balance there, in their points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<i64>,
    /// active (default), suspended or left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When the member joined there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub joined_at: Option<Timestamp>,
    /// When they changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutExternalMembership {
    const NOUN: &'static str = "external_membership";
    const PATH: &'static str = "external-memberships";
    const ABOUT: &'static str = "Create or update a member's membership of a programme that others run";

    fn example() -> Value {
        json!({"program": "airline", "external_no": "992001", "member_no": "household-1", "level": "blue", "points": 1200})
    }

    fn check(&self, now: Timestamp) -> Checked {
        source("/program", &self.program)?;
        text("/external_no", &self.external_no, CODE_MAX)?;
        text("/member_no", &self.member_no, CODE_MAX)?;
        optional("/level", self.level.as_deref(), WORD_MAX)?;
        if self.points.is_some_and(|points| !(-POINTS_MAX..=POINTS_MAX).contains(&points)) {
            let detail = format!("between -{POINTS_MAX} and {POINTS_MAX}");
            return Err(OltpError::invalid("oltp.out_of_range", "/points", detail));
        }
        one_of("/status", self.status.as_deref(), MEMBERSHIP_STATUSES)?;
        if let Some(at) = self.joined_at {
            between("/joined_at", at, 1900, now)?;
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.program, self.external_no)
    }
}
