//! Points kept for a purchase under way, and points that come back.

use super::points::{MemberName, Moving, points};
use crate::check::{CODE_MAX, Checked, TEXT_MAX, optional};
use crate::error::OltpError;
use model::{Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// How long points are kept when the caller does not say, in seconds.
const HOLD_S: u32 = 900;
/// How long points are kept at most: a week, in seconds.
const HOLD_S_MAX: u32 = 604_800;

/// Points kept for a purchase: nothing else can take them, until they are captured, released or time is up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservePoints {
    /// Whose points.
    pub member: MemberName,
    /// Points, at least 1.
    #[schema(example = 20)]
    pub points: i64,
    /// Seconds until they go back by themselves, 1 to 604,800; 900 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Your number of the purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for ReservePoints {
    const KIND: &'static str = "points_reserve";
    const PLACE: &'static str = "points/reserve";
    const WHAT: &'static str = "Keep points for a purchase under way; the answer's `id` is the reservation";

    fn sample() -> Value {
        json!({"member": {"member_no": "household-1"}, "points": 20, "hold_s": 600, "reference": "basket-81"})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        self.member.check("/member")?;
        points(self.points)?;
        if self.hold_s.is_some_and(|seconds| !(1..=HOLD_S_MAX).contains(&seconds)) {
            return Err(OltpError::invalid("oltp.out_of_range", "/hold_s", format!("between 1 and {HOLD_S_MAX}")));
        }
        optional("/reason", self.reason.as_deref(), TEXT_MAX)?;
        optional("/reference", self.reference.as_deref(), CODE_MAX)
    }

    fn asks(&self, tokens: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "reserve", "member": self.member.named("/member", tokens)?, "points": self.points,
            "hold_s": self.hold_s.unwrap_or(HOLD_S), "reason": self.reason, "reference": self.reference}))
    }
}

/// Reserved points spent; what is not goes back. Ends the reservation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapturePoints {
    /// The reservation.
    pub reservation_id: Uuid,
    /// Points, at least 1; all that are reserved when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 15)]
    pub points: Option<i64>,
    /// Your number of what they pay for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for CapturePoints {
    const KIND: &'static str = "points_capture";
    const PLACE: &'static str = "points/capture";
    const WHAT: &'static str = "Spend reserved points, all or some; the rest goes back";

    fn sample() -> Value {
        json!({"reservation_id": Uuid::nil(), "points": 15, "reference": "367-31198570044"})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        self.points.map_or(Ok(()), points)?;
        optional("/reference", self.reference.as_deref(), CODE_MAX)
    }

    fn asks(&self, _: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "capture", "reservation_id": self.reservation_id, "points": self.points,
            "reference": self.reference}))
    }
}

/// Reserved points given back. Ends the reservation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleasePoints {
    /// The reservation.
    pub reservation_id: Uuid,
}

impl Moving for ReleasePoints {
    const KIND: &'static str = "points_release";
    const PLACE: &'static str = "points/release";
    const WHAT: &'static str = "Give reserved points back";

    fn sample() -> Value {
        json!({"reservation_id": Uuid::nil()})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        Ok(())
    }

    fn asks(&self, _: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "release", "reservation_id": self.reservation_id}))
    }
}

/// Spent points given back, to the lots that they came from: those that would have expired meanwhile expire at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundPoints {
    /// The entry that spent them: the `id` that burning or capturing them answered.
    pub entry_id: Uuid,
    /// Points, at least 1; all that did not come back yet when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 5)]
    pub points: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Your number of the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Moving for RefundPoints {
    const KIND: &'static str = "points_refund";
    const PLACE: &'static str = "points/refund";
    const WHAT: &'static str = "Give spent points back, all or some";

    fn sample() -> Value {
        json!({"entry_id": Uuid::nil(), "points": 5, "reason": "Goods came back"})
    }

    fn fits(&self, _: Timestamp) -> Checked {
        self.points.map_or(Ok(()), points)?;
        optional("/reason", self.reason.as_deref(), TEXT_MAX)?;
        optional("/reference", self.reference.as_deref(), CODE_MAX)
    }

    fn asks(&self, _: &Tokeniser) -> Result<Value, OltpError> {
        Ok(json!({"act": "refund", "entry_id": self.entry_id, "points": self.points, "reason": self.reason,
            "reference": self.reference}))
    }
}
