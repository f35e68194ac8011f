//! Programmes of points.

use super::Asked;
use super::points::POINTS_MAX;
use crate::check::{CODE_MAX, Checked, far, text};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Most points, and most units of money, in a rate.
const RATE_MAX: i64 = 1_000_000;

/// A rule of a programme of points, in force from a moment until the programme's next one. Orders go by the programme `default`,
/// each by the rule of the time at which it was placed, or made known if that was earlier.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPointsProgram {
    /// Code of the programme; with `valid_from` it identifies the rule.
    #[schema(example = "default")]
    pub program_code: String,
    /// Since when, at least a minute ahead; in a minute when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub valid_from: Option<Timestamp>,
    /// Points for each `earn_units` major units of what stays with the buyer, rounded down; 0 to 1,000,000.
    #[schema(example = 1)]
    pub earn_points: i64,
    /// Major units of money, such as dollars; 1 to 1,000,000.
    #[schema(example = 1)]
    pub earn_units: i64,
    /// Days of 24 hours until earned points can be spent, 0 to 3,650; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_days: Option<i32>,
    /// Days of 24 hours that points can be spent, 1 to 36,500; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_days: Option<i32>,
    /// Most points in one transfer between members; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_points_max: Option<i64>,
    /// Most points that a member may transfer within 24 hours; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_day_points_max: Option<i64>,
}

impl Asked for PutPointsProgram {
    const NOUN: &'static str = "points_program";
    const PATH: &'static str = "points/programs";
    const ABOUT: &'static str = "Change how points are earned, from a moment on";

    fn example() -> Value {
        json!({"program_code": "welcome", "earn_points": 1, "earn_units": 1, "pending_days": 14, "expiry_days": 365,
            "transfer_points_max": 1000})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/program_code", &self.program_code, CODE_MAX)?;
        far("/valid_from", self.valid_from)?;
        within("/earn_points", Some(self.earn_points), 0, RATE_MAX)?;
        within("/earn_units", Some(self.earn_units), 1, RATE_MAX)?;
        within("/pending_days", self.pending_days.map(i64::from), 0, 3650)?;
        within("/expiry_days", self.expiry_days.map(i64::from), 1, 36_500)?;
        within("/transfer_points_max", self.transfer_points_max, 0, POINTS_MAX)?;
        within("/transfer_day_points_max", self.transfer_day_points_max, 0, POINTS_MAX)
    }

    fn unique(&self) -> String {
        format!("{}\0{:?}", self.program_code, self.valid_from)
    }
}

fn within(pointer: &str, value: Option<i64>, min: i64, max: i64) -> Checked {
    if value.is_none_or(|value| (min..=max).contains(&value)) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between {min} and {max}")))
}
