//! What the house owes its members in points.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Points of all members at a moment, and how they came and went. What fell due by then counts as booked. Months are of UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointsLiability {
    /// The moment.
    #[schema(value_type = String, format = "date-time")]
    pub as_of: Timestamp,
    /// Points that can be spent.
    pub spendable: i64,
    /// Points that cannot be spent yet.
    pub pending: i64,
    /// Points kept for purchases under way.
    pub reserved: i64,
    /// Points that members owe, not above 0.
    pub owed: i64,
    /// Points of `spendable` that do not expire.
    pub undated: i64,
    /// Points that expire, by the month in which they do.
    pub by_expiry: Vec<PointsExpiring>,
    /// Points that expire or are pending, by the month in which they were earned.
    pub by_age: Vec<PointsOfAge>,
    /// What moved in each month.
    pub months: Vec<PointsMonth>,
}

/// Points that expire in a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointsExpiring {
    /// The month, `YYYY-MM`.
    #[schema(example = "2027-01")]
    pub month: String,
    /// Points that can be spent.
    pub spendable: i64,
    /// Points that cannot be spent yet.
    pub pending: i64,
}

/// Points that were earned in a month and are still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointsOfAge {
    /// The month, `YYYY-MM`.
    #[schema(example = "2026-01")]
    pub month: String,
    /// Points.
    pub points: i64,
}

/// What moved in a month; none is negative but `adjusted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PointsMonth {
    /// The month, `YYYY-MM`.
    #[schema(example = "2026-01")]
    pub month: String,
    /// Points earned.
    pub issued: i64,
    /// Points taken back, because goods came back or orders changed.
    pub reversed: i64,
    /// Points spent.
    pub burned: i64,
    /// Spent points given back.
    pub refunded: i64,
    /// Points that expired.
    pub expired: i64,
    /// Points given by hand, less points taken.
    pub adjusted: i64,
}

impl Oltp {
    /// What members hold in points at a moment; now when none is given. Reads the whole ledger.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer in time.
    pub async fn points_liability(&self, as_of: Option<Timestamp>) -> Result<PointsLiability, OltpError> {
        let rows = self.query(statement::POINTS_LIABILITY, &[&as_of]).await?;
        let report: Value = rows.first().map_or(Value::Null, |row| row.get(0));
        serde_json::from_value(report)
            .map_err(|error| OltpError::Internal(format!("the store gave a report of another shape: {error}")))
    }
}
