//! Tiers: what must be reached for one, and tiers said from outside.

use super::Asked;
use crate::check::{AMOUNT_MAX, CODE_MAX, Checked, TITLE_MAX, currency, number, one_of, optional, text, year};
use crate::error::OltpError;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

const RANK_MAX: i32 = 1000;
const DAYS_MAX: i32 = 3660;
const BASES: &[&str] = &["spend", "points", "orders"];
const PERIODS: &[&str] = &["rolling", "calendar", "anniversary"];

/// What a member must reach for a tier. A change of it shows at a member's next order, or when the present tier comes to its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutTier {
    /// Your code; identifies the tier.
    #[schema(example = "gold")]
    pub tier_code: String,
    /// Name for people.
    #[schema(example = "Gold")]
    pub name: String,
    /// Rank, 1 to 1,000; higher is better. No two active tiers have one rank.
    pub rank: i32,
    /// What counts: spend (net of orders that are bought, less what came back), points (earned by them) or orders (of which something stays).
    #[schema(example = "spend")]
    pub basis: String,
    /// How much is needed: minor units, points, or orders.
    pub threshold: i64,
    /// Currency of spend: only orders in it count. Of no other basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "USD")]
    pub currency: Option<String>,
    /// Over what counts: rolling (any `period_days` days), calendar (a year, UTC) or anniversary (a year from the day of joining).
    #[schema(example = "rolling")]
    pub period: String,
    /// Days of a rolling period, 1 to 3,660. Of no other period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_days: Option<i32>,
    /// Days for which a tier holds on after the period in which it was reached: 0 (default) to 3,660.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<i32>,
    /// Whether members are placed by it; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

impl Asked for PutTier {
    const NOUN: &'static str = "tier";
    const PATH: &'static str = "tiers";
    const ABOUT: &'static str = "Create or update a tier";

    fn example() -> Value {
        json!({"tier_code": "gold", "name": "Gold", "rank": 2, "basis": "spend", "threshold": 100_000, "currency": "USD",
            "period": "rolling", "period_days": 365, "grace_days": 30})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/tier_code", &self.tier_code, CODE_MAX)?;
        text("/name", &self.name, TITLE_MAX)?;
        number("/rank", self.rank, RANK_MAX)?;
        one_of("/basis", Some(&self.basis), BASES)?;
        if !(1..=AMOUNT_MAX).contains(&self.threshold) {
            return Err(OltpError::invalid("oltp.out_of_range", "/threshold", format!("between 1 and {AMOUNT_MAX}")));
        }
        only_with(
            "/currency",
            self.currency.is_some(),
            self.basis == "spend",
            "spend has a currency, and no other basis has",
        )?;
        self.currency.as_deref().map_or(Ok(()), currency)?;
        one_of("/period", Some(&self.period), PERIODS)?;
        let rolling = self.period == "rolling";
        only_with("/period_days", self.period_days.is_some(), rolling, "a rolling period has days, and no other has")?;
        self.period_days.map_or(Ok(()), |days| number("/period_days", days, DAYS_MAX))?;
        match self.grace_days {
            Some(days) if !(0..=DAYS_MAX).contains(&days) => {
                Err(OltpError::invalid("oltp.out_of_range", "/grace_days", format!("between 0 and {DAYS_MAX}")))
            }
            _ => Ok(()),
        }
    }

    fn unique(&self) -> String {
        self.tier_code.clone()
    }
}

fn only_with(pointer: &str, is: bool, should: bool, detail: &str) -> Checked {
    if is == should { Ok(()) } else { Err(OltpError::invalid("oltp.invalid_value", pointer, detail)) }
}

/// Sets a member's tier from outside for a time, or gives it back to what the orders say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMemberTier {
    /// Your number of the member.
    #[schema(example = "household-1")]
    pub member_no: String,
    /// Code of the tier, which must exist. Absent: the tier is again what the orders say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "gold")]
    pub tier_code: Option<String>,
    /// Until when it holds; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub until: Option<Timestamp>,
}

impl Asked for SetMemberTier {
    const NOUN: &'static str = "member_tier";
    const PATH: &'static str = "members/tier";
    const ABOUT: &'static str = "Set a member's tier, or give it back to what the orders say";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"member_no": "household-1", "tier_code": "gold", "until": "2027-12-31T00:00:00Z"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/member_no", &self.member_no, CODE_MAX)?;
        optional("/tier_code", self.tier_code.as_deref(), CODE_MAX)?;
        match self.until {
            Some(_) if self.tier_code.is_none() => {
                Err(OltpError::invalid("oltp.invalid_value", "/until", "only with a tier"))
            }
            Some(until) if until <= now || year(until) > 9000 => {
                Err(OltpError::invalid("oltp.out_of_range", "/until", "between now and the year 9000"))
            }
            _ => Ok(()),
        }
    }

    fn unique(&self) -> String {
        self.member_no.clone()
    }
}
