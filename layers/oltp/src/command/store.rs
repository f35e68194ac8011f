//! Stores.

use super::Asked;
use crate::check::{
    CODE_MAX, Checked, TITLE_MAX, WORD_MAX, attributes, below, count, country, one_of, optional, past, text, timezone,
};
use crate::error::OltpError;
use crate::gtin;
use jiff::civil::{Date, Time, time};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Types of stores.
pub(crate) const STORE_TYPES: &[&str] = &["physical", "web", "marketplace"];

/// Most spans of opening hours, and most exceptions, of a store.
const HOURS_MAX: usize = 64;
const EXCEPTIONS_MAX: usize = 1000;

/// A span of opening hours on one day of the week, in the store's time zone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursValue {
    /// Day of the week by ISO 8601: 1 is Monday, 7 is Sunday.
    #[schema(minimum = 1, maximum = 7)]
    pub weekday: i16,
    /// From when.
    #[schema(value_type = String, format = "time", example = "09:00:00")]
    pub opens: Time,
    /// Until when; on the next day if it is not after `opens`.
    #[schema(value_type = String, format = "time", example = "20:00:00")]
    pub closes: Time,
}

/// A day on which a store is closed, or open at other hours.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreDayValue {
    /// The day.
    #[schema(value_type = String, format = "date", example = "2026-12-25")]
    pub day: Date,
    /// From when; closed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "time")]
    pub opens: Option<Time>,
    /// Until when; on the next day if it is not after `opens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "time")]
    pub closes: Option<Time>,
    /// Why, such as the name of the holiday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A place of sale.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutStore {
    /// Your code of the store; identifies it.
    #[schema(example = "367")]
    pub store_code: String,
    /// Name.
    pub name: String,
    /// physical (default), web or marketplace.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub store_type: Option<String>,
    /// IANA time zone of its business day, such as `Europe/Berlin`; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// ISO 3166 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// GS1 Global Location Number: 13 digits with a valid check digit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<String>,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub opened_on: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date")]
    pub closed_on: Option<Date>,
    /// When its business day starts, before noon; midnight when absent. What is sold before belongs to the day before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "time", example = "04:00:00")]
    pub day_starts_at: Option<Time>,
    /// Whether more stock may be promised, sent or written off than the books say is there; false when absent. What was sold is
    /// recorded in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_negative_stock: Option<bool>,
    /// Opening hours of an ordinary week: all of them, at most 64 spans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<HoursValue>,
    /// Days that are otherwise: all of them, at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<StoreDayValue>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutStore {
    const NOUN: &'static str = "store";
    const PATH: &'static str = "stores";
    const ABOUT: &'static str = "Create or update a store";

    fn example() -> Value {
        json!({"store_code": "367", "name": "Main Street", "timezone": "America/New_York", "country_code": "US"})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/store_code", &self.store_code, CODE_MAX)?;
        text("/name", &self.name, TITLE_MAX)?;
        one_of("/type", self.store_type.as_deref(), STORE_TYPES)?;
        timezone(self.timezone.as_deref())?;
        country("/country_code", self.country_code.as_deref())?;
        optional("/region", self.region.as_deref(), WORD_MAX)?;
        if self.gln.as_deref().is_some_and(|gln| !gtin::is_location(gln)) {
            let detail = "a GLN has 13 digits, the last of them a check digit";
            return Err(OltpError::invalid("oltp.invalid_gln", "/gln", detail));
        }
        for (pointer, day) in [("/opened_on", self.opened_on), ("/closed_on", self.closed_on)] {
            day.map_or(Ok(()), |day| plausible(pointer, day))?;
        }
        if self.opened_on.zip(self.closed_on).is_some_and(|(opened, closed)| closed < opened) {
            return Err(OltpError::invalid("oltp.out_of_range", "/closed_on", "not before opened_on"));
        }
        if self.day_starts_at.is_some_and(|start| start >= time(12, 0, 0, 0)) {
            return Err(OltpError::invalid("oltp.out_of_range", "/day_starts_at", "before noon"));
        }
        count("/hours", self.hours.len(), 0, HOURS_MAX)?;
        hours(&self.hours)?;
        count("/exceptions", self.exceptions.len(), 0, EXCEPTIONS_MAX)?;
        exceptions(&self.exceptions)?;
        attributes(&self.attributes)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.store_code.clone()
    }
}

fn plausible(pointer: &str, day: Date) -> Checked {
    if (1800..=2200).contains(&day.year()) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, "between the years 1800 and 2200"))
}

/// Spans of one weekday do not overlap.
fn hours(hours: &[HoursValue]) -> Checked {
    for (i, span) in hours.iter().enumerate() {
        if !(1..=7).contains(&span.weekday) {
            let detail = "between 1 (Monday) and 7 (Sunday)";
            return Err(OltpError::invalid("oltp.out_of_range", format!("/hours/{i}/weekday"), detail));
        }
        let overlaps = |other: &HoursValue| {
            let (first, last) = if other.opens <= span.opens { (other, span) } else { (span, other) };
            first.closes <= first.opens || first.closes > last.opens
        };
        if hours[..i].iter().any(|other| other.weekday == span.weekday && overlaps(other)) {
            let detail = "overlaps another span of the same day";
            return Err(OltpError::invalid("oltp.overlapping_hours", format!("/hours/{i}/opens"), detail));
        }
    }
    Ok(())
}

fn exceptions(days: &[StoreDayValue]) -> Checked {
    for (i, day) in days.iter().enumerate() {
        let below = |error| below(error, "exceptions", i);
        plausible("/day", day.day).map_err(below)?;
        optional("/name", day.name.as_deref(), WORD_MAX).map_err(below)?;
        if day.opens.is_some() != day.closes.is_some() {
            let detail = "opens and closes go together; without both it is closed";
            return Err(below(OltpError::invalid("oltp.missing", "/closes", detail)));
        }
        if days[..i].iter().any(|other| other.day == day.day) {
            return Err(below(OltpError::invalid("oltp.duplicate_line", "/day", "this day comes twice")));
        }
    }
    Ok(())
}
