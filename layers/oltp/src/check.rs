//! What every command must be like before the store looks at it. Pure: the time comes in from outside.

use crate::command::Context;
use crate::error::OltpError;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{Currency, Decimal, Timestamp};
use serde_json::{Map, Value};

pub(crate) type Checked = Result<(), OltpError>;

/// Most characters of a code or number of theirs.
pub(crate) const CODE_MAX: usize = 128;
/// Most characters of the name of a source.
pub(crate) const SOURCE_MAX: usize = 64;
/// Most characters of a title.
pub(crate) const TITLE_MAX: usize = 512;
/// Most characters of a name or a word.
pub(crate) const WORD_MAX: usize = 256;
/// Most characters of a text.
pub(crate) const TEXT_MAX: usize = 1024;
const ATTRIBUTES_BYTES_MAX: usize = 65_536;
const ATTRIBUTES_DEPTH_MAX: usize = 16;
/// Largest amount in minor units: sums of 1,000 lines stay far inside of 64 bits.
pub(crate) const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
/// Largest quantity of a line, and of all lines of an order together.
pub(crate) const QUANTITY_MAX: i64 = 1_000_000_000_000;

/// Who asks.
pub(crate) fn context(context: &Context) -> Checked {
    let fail = |detail: &str| Err(OltpError::invalid("oltp.invalid_context", "", detail));
    if context.actor.contains('\0') || context.request_id.contains('\0') {
        return fail("actor and request id hold no NUL");
    }
    if context.reason.as_ref().is_some_and(|reason| reason.contains('\0') || reason.chars().count() > TEXT_MAX) {
        return fail("a reason has at most 1,024 characters, none of them NUL");
    }
    if context.idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255 || key.contains('\0')) {
        return fail("an idempotency key has 1 to 255 bytes, none of them NUL");
    }
    Ok(())
}

/// Moves an error's pointer below an item of a list.
pub(crate) fn below(error: OltpError, list: &str, i: usize) -> OltpError {
    match error {
        OltpError::Invalid { code, pointer, detail } => {
            OltpError::Invalid { code, pointer: format!("/{list}/{i}{pointer}"), detail }
        }
        other => other,
    }
}

pub(crate) fn text(pointer: &str, value: &str, max: usize) -> Checked {
    if value.trim().is_empty() {
        return Err(OltpError::invalid("oltp.missing", pointer, "must not be empty"));
    }
    optional(pointer, Some(value), max)
}

pub(crate) fn optional(pointer: &str, value: Option<&str>, max: usize) -> Checked {
    let Some(value) = value else { return Ok(()) };
    // A character has at most four bytes: most texts need no count.
    if value.len() > max && value.chars().count() > max {
        return Err(OltpError::invalid("oltp.invalid_text", pointer, format!("has at most {max} characters")));
    }
    if value.contains('\0') {
        return Err(OltpError::invalid("oltp.invalid_text", pointer, "holds a NUL character"));
    }
    Ok(())
}

pub(crate) fn source(pointer: &str, value: &str) -> Checked {
    text(pointer, value, SOURCE_MAX)?;
    if value.contains(':') {
        return Err(OltpError::invalid(
            "oltp.invalid_text",
            pointer,
            "a source has no colon: `source:number` names a record",
        ));
    }
    Ok(())
}

pub(crate) fn one_of(pointer: &str, value: Option<&str>, allowed: &[&str]) -> Checked {
    match value {
        Some(value) if !allowed.contains(&value) => {
            Err(OltpError::invalid("oltp.invalid_value", pointer, format!("one of {}", allowed.join(", "))))
        }
        _ => Ok(()),
    }
}

pub(crate) fn count(pointer: &str, count: usize, min: usize, max: usize) -> Checked {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.invalid_count", pointer, format!("has {min} to {max} entries, not {count}")))
}

pub(crate) fn number(pointer: &str, value: i32, max: i32) -> Checked {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between 1 and {max}")))
}

pub(crate) fn amount(pointer: &str, value: i64, min: i64) -> Checked {
    if (min..=AMOUNT_MAX).contains(&value) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between {min} and {AMOUNT_MAX} minor units")))
}

pub(crate) fn quantity(pointer: &str, value: Decimal) -> Checked {
    if value.is_sign_negative() && !value.is_zero() {
        let detail = "not negative: goods that come back are a return";
        return Err(OltpError::invalid("oltp.out_of_range", pointer, detail));
    }
    if value > Decimal::from(QUANTITY_MAX) || value.normalize().scale() > 4 {
        return Err(OltpError::invalid("oltp.out_of_range", pointer, "at most 1e12, with at most four decimals"));
    }
    Ok(())
}

/// A quantity of more than nothing.
pub(crate) fn positive(pointer: &str, value: Decimal) -> Checked {
    if value.is_zero() {
        return Err(OltpError::invalid("oltp.out_of_range", pointer, "more than zero"));
    }
    quantity(pointer, value)
}

pub(crate) fn currency(code: &str) -> Checked {
    Currency::parse(code).map(|_| ()).map_err(|_| {
        OltpError::invalid("oltp.invalid_value", "/currency", "an ISO 4217 code: three upper-case letters, such as USD")
    })
}

pub(crate) fn country(pointer: &str, code: Option<&str>) -> Checked {
    match code {
        Some(code) if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Err(OltpError::invalid(
                "oltp.invalid_value",
                pointer,
                "an ISO 3166 alpha-2 code: two upper-case letters, such as US",
            ))
        }
        _ => Ok(()),
    }
}

pub(crate) fn timezone(name: Option<&str>) -> Checked {
    match name {
        Some(name) if name.len() > 64 || TimeZone::get(name).is_err() => {
            Err(OltpError::invalid("oltp.unknown_timezone", "/timezone", "an IANA time zone, such as Europe/Berlin"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn year(at: Timestamp) -> i16 {
    at.to_zoned(TimeZone::UTC).year()
}

/// A time from the start of a year to one day after now: sources' clocks may be ahead, but not by more.
pub(crate) fn between(pointer: &str, at: Timestamp, first_year: i16, now: Timestamp) -> Checked {
    let latest = now.checked_add(jiff::SignedDuration::from_hours(24)).unwrap_or(now);
    if at <= latest && year(at) >= first_year {
        return Ok(());
    }
    let detail = format!("between the year {first_year} and one day after now");
    Err(OltpError::invalid("oltp.out_of_range", pointer, detail))
}

/// A time that may lie ahead.
pub(crate) fn any_time(pointer: &str, at: Option<Timestamp>) -> Checked {
    match at {
        Some(at) if !(1970..=9000).contains(&year(at)) => {
            Err(OltpError::invalid("oltp.out_of_range", pointer, "between the years 1970 and 9000"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn past(pointer: &str, at: Option<Timestamp>, now: Timestamp) -> Checked {
    at.map_or(Ok(()), |at| between(pointer, at, 1970, now))
}

/// A time that may lie ahead.
pub(crate) fn far(pointer: &str, at: Option<Timestamp>) -> Checked {
    match at {
        Some(at) if !(1970..=9000).contains(&year(at)) => {
            Err(OltpError::invalid("oltp.out_of_range", pointer, "between the years 1970 and 9000"))
        }
        _ => Ok(()),
    }
}

/// A start and an end after it, both of which may lie ahead or be open.
pub(crate) fn window(from: &str, start: Option<Timestamp>, until: &str, end: Option<Timestamp>) -> Checked {
    far(from, start)?;
    far(until, end)?;
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        return Err(OltpError::invalid("oltp.out_of_range", until, "after its start"));
    }
    Ok(())
}

pub(crate) fn days(pointer: &str, day: Date, first: Date, now: Timestamp) -> Checked {
    // Two days: the day of a time that is one day ahead, in the zone farthest ahead of UTC.
    let latest = now.checked_add(jiff::SignedDuration::from_hours(48)).unwrap_or(now).to_zoned(TimeZone::UTC).date();
    if (first..=latest).contains(&day) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between {first} and {latest}")))
}

pub(crate) fn attributes(map: &Map<String, Value>) -> Checked {
    object("/attributes", map)
}

/// Anything that a caller adds of their own.
pub(crate) fn object(pointer: &str, map: &Map<String, Value>) -> Checked {
    if map.is_empty() {
        return Ok(());
    }
    let fail = |detail: &str| Err(OltpError::invalid("oltp.invalid_attributes", pointer, detail));
    if map.iter().any(|(key, value)| key.contains('\0') || deeper_or_nul(value, 1)) {
        return fail("at most 16 levels deep, without NUL characters");
    }
    match serde_json::to_vec(map) {
        Ok(bytes) if bytes.len() <= ATTRIBUTES_BYTES_MAX => Ok(()),
        _ => fail("at most 65,536 bytes of JSON"),
    }
}

fn deeper_or_nul(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => depth >= ATTRIBUTES_DEPTH_MAX || items.iter().any(|item| deeper_or_nul(item, depth + 1)),
        Value::Object(map) => {
            depth >= ATTRIBUTES_DEPTH_MAX
                || map.iter().any(|(key, item)| key.contains('\0') || deeper_or_nul(item, depth + 1))
        }
        _ => false,
    }
}

/// The version of a record in its source.
pub(crate) fn version(version: Option<i64>) -> Checked {
    match version {
        Some(version) if version < 0 => {
            Err(OltpError::invalid("oltp.out_of_range", "/source_version", "a version is not negative"))
        }
        _ => Ok(()),
    }
}
