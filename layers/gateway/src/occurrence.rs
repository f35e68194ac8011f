//! When an event happened: the sender's time, repaired by the skew of the sender's clock.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How far in the future an event may lie: clocks that cannot be repaired are off by minutes, not by hours.
const FUTURE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// The first second of the year 2000; nothing was tracked before.
const PAST_MAX: Timestamp = Timestamp::constant(946_684_800, 0);

/// Why a time cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is no time at all.
    Unreadable,
    /// It lies in the future.
    Future,
    /// It lies before the year 2000.
    Past,
}

/// The time at which an event happened: `received − (sent − said)`, so that only the order and the distance within the
/// sender's clock count; what the sender said where it did not say when it sent; the receipt where it said nothing.
pub(crate) fn occurred(said: Option<&Value>, sent: Option<&Value>, received: Timestamp) -> Result<Timestamp, Bad> {
    let Some(said) = said else { return Ok(received) };
    let said = read(said).ok_or(Bad::Unreadable)?;
    let occurred = match sent.and_then(read) {
        Some(sent) => received.checked_sub(sent.duration_since(said)).map_err(|_| Bad::Past)?,
        None => said,
    };
    if occurred > received.saturating_add(FUTURE_MAX).unwrap_or(Timestamp::MAX) {
        return Err(Bad::Future);
    }
    if occurred < PAST_MAX {
        return Err(Bad::Past);
    }
    // Microseconds are what every store keeps.
    Timestamp::from_microsecond(occurred.as_microsecond()).map_err(|_| Bad::Unreadable)
}

/// Whether a value is a time in one of the forms that are read.
pub(crate) fn is_time(value: &Value) -> bool {
    read(value).is_some()
}

/// Reads RFC 3339 text, ISO 8601 text without a zone (Python's SDKs; taken as UTC), or milliseconds since 1970.
fn read(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) if text.len() <= 64 => {
            let zoned: Result<Timestamp, _> = text.parse();
            zoned.ok().or_else(|| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp()))
        }
        Value::Number(number) => Timestamp::from_millisecond(number.as_i64()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(said: &Value, sent: Option<&Value>) -> Result<String, Bad> {
        let received = "2026-03-01T12:00:00Z".parse().unwrap();
        occurred(Some(said), sent, received).map(|time| time.to_string())
    }

    #[test]
    fn a_wrong_clock_is_repaired() {
        // The sender's clock is a year behind; the event happened 5 s before it was sent.
        let occurred = at(&json!("2025-03-01T11:59:55Z"), Some(&json!("2025-03-01T12:00:00.000Z")));
        assert_eq!(occurred.unwrap(), "2026-03-01T11:59:55Z");
        assert_eq!(
            at(&json!("1970-01-01T00:00:00Z"), Some(&json!("1970-01-01T00:00:01Z"))).unwrap(),
            "2026-03-01T11:59:59Z"
        );
    }

    #[test]
    fn many_forms_are_read() {
        for said in [
            json!("2026-03-01T11:00:00Z"),
            json!("2026-03-01T12:00:00+01:00"),
            json!("2026-03-01T11:00:00"),
            json!("2026-03-01 11:00:00"),
            json!(1_772_362_800_000_i64),
        ] {
            assert_eq!(at(&said, None).unwrap(), "2026-03-01T11:00:00Z", "{said}");
        }
        let received = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(occurred(None, None, received), Ok(received));
        assert_eq!(at(&json!("2026-03-01T11:00:00.123456789Z"), None).unwrap(), "2026-03-01T11:00:00.123456Z");
    }

    #[test]
    fn impossible_times_are_refused() {
        assert_eq!(at(&json!("2026-03-01T13:00:01Z"), None), Err(Bad::Future));
        assert_eq!(at(&json!("2026-03-01T13:00:00Z"), None).unwrap(), "2026-03-01T13:00:00Z");
        assert_eq!(at(&json!("1999-12-31T23:59:59Z"), None), Err(Bad::Past));
        assert_eq!(at(&json!("-009998-01-01T00:00:00Z"), Some(&json!("9999-01-01T00:00:00Z"))), Err(Bad::Past));
        for said in [json!("yesterday"), json!(""), json!(true), json!(1.5), json!({"a": 1}), json!("x".repeat(100))] {
            assert_eq!(at(&said, None), Err(Bad::Unreadable), "{said}");
        }
    }
}
