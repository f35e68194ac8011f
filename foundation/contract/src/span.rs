//! Spans of time, as definitions write them.

use serde::{Deserialize, Serialize};

/// A span of whole seconds, written `90s`, `5m`, `24h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(i64);

/// Ten years: more is a slip of the pen.
const SECONDS_MAX: i64 = 3_660 * 86_400;

impl Span {
    /// A span of seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// Its length in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0 * 1_000_000
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no span of time: write 90s, 5m, 24h or 30d, up to ten years");
        let unit = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(wrong()),
        };
        let digits = text.get(..text.len() - 1).ok_or_else(wrong)?;
        let number: u32 = if digits.starts_with('+') { Err(wrong()) } else { digits.parse().map_err(|_| wrong()) }?;
        let seconds = i64::from(number) * unit;
        if seconds == 0 || seconds > SECONDS_MAX { Err(wrong()) } else { Ok(Self(seconds)) }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, unit) = match self.0 {
            s if s % 86_400 == 0 && s > 86_400 => (s / 86_400, 'd'),
            s if s % 3_600 == 0 => (s / 3_600, 'h'),
            s if s % 60 == 0 => (s / 60, 'm'),
            s => (s, 's'),
        };
        write!(f, "{number}{unit}")
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_write_back() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("30d", 2_592_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.as_seconds(), span.to_string().as_str()), (seconds, text));
        }
        for text in ["", "s", "5", "0m", "-5m", "+5m", "1.5h", "5w", "99999d", "é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
