//! PostgreSQL's text values as JSON, by type.
//!
//! Whole numbers, floats and booleans become JSON's; `timestamptz` becomes RFC 3339 in UTC; `json` and `jsonb` are embedded;
//! arrays of texts, UUIDs and whole numbers become arrays; `bytea` becomes hex; all else stays text, so nothing is lost.

use crate::array;

/// Type numbers of PostgreSQL that are no text here.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const BYTEA: u32 = 17;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const JSON: u32 = 114;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const INT2_ARRAY: u32 = 1005;
    pub(super) const INT4_ARRAY: u32 = 1007;
    pub(super) const TEXT_ARRAY: u32 = 1009;
    pub(super) const VARCHAR_ARRAY: u32 = 1015;
    pub(super) const INT8_ARRAY: u32 = 1016;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const UUID_ARRAY: u32 = 2951;
    pub(super) const JSONB: u32 = 3802;
}

/// Deepest nesting and longest run of digits that every JSON reader takes; beyond, a document travels as text.
const JSON_DEPTH_MAX: u32 = 100;
const JSON_DIGITS_MAX: u32 = 300;

/// Appends a value as JSON.
pub(crate) fn write(out: &mut Vec<u8>, type_oid: u32, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match type_oid {
        oid::BOOL if bytes == b"t" => out.extend_from_slice(b"true"),
        oid::BOOL if bytes == b"f" => out.extend_from_slice(b"false"),
        oid::INT2 | oid::INT4 | oid::INT8 => whole(out, &text),
        oid::FLOAT4 | oid::FLOAT8 if text.parse::<f64>().is_ok_and(f64::is_finite) => out.extend_from_slice(bytes),
        oid::TIMESTAMPTZ => timestamp(out, &text),
        oid::JSONB if embeddable(bytes) => out.extend_from_slice(bytes),
        oid::JSON if serde_json::from_str::<serde_json::Value>(&text).is_ok() => out.extend_from_slice(bytes),
        oid::BYTEA => string(out, text.strip_prefix("\\x").unwrap_or(&text)),
        oid::TEXT_ARRAY | oid::VARCHAR_ARRAY | oid::UUID_ARRAY => list(out, &text, string),
        oid::INT2_ARRAY | oid::INT4_ARRAY | oid::INT8_ARRAY => list(out, &text, whole),
        _ => string(out, &text),
    }
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends a whole number.
pub(crate) fn number(out: &mut Vec<u8>, value: impl Into<serde_json::Number>) {
    let _ = serde_json::to_writer(out, &value.into());
}

fn whole(out: &mut Vec<u8>, text: &str) {
    if text.parse::<i64>().is_ok() { out.extend_from_slice(text.as_bytes()) } else { string(out, text) }
}

/// `2026-01-02 03:04:05.123+00` becomes `2026-01-02T03:04:05.123Z`; what is no plain moment (`infinity`, `BC`) stays as it is.
fn timestamp(out: &mut Vec<u8>, text: &str) {
    let parts = text.strip_suffix("+00").and_then(|moment| moment.split_once(' '));
    match parts {
        Some((date, time)) if date.len() == 10 => {
            out.push(b'"');
            out.extend_from_slice(date.as_bytes());
            out.push(b'T');
            out.extend_from_slice(time.as_bytes());
            out.extend_from_slice(b"Z\"");
        }
        _ => string(out, text),
    }
}

fn list(out: &mut Vec<u8>, text: &str, element: impl Fn(&mut Vec<u8>, &str)) {
    let Some(elements) = array::elements(text) else { return string(out, text) };
    out.push(b'[');
    for (i, value) in elements.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match value {
            Some(value) => element(out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
}

/// Whether a document that PostgreSQL wrote can be read by everybody: PostgreSQL takes deeper nesting and longer numbers than
/// JSON readers do, and one such value must not make a record unreadable.
fn embeddable(bytes: &[u8]) -> bool {
    let (mut depth, mut deepest, mut digits, mut longest) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => loop {
                match rest.next() {
                    Some(b'\\') => drop(rest.next()),
                    Some(b'"') => break,
                    Some(_) => {}
                    None => return false,
                }
            },
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        longest = longest.max(digits);
    }
    !bytes.is_empty() && deepest <= JSON_DEPTH_MAX && longest <= JSON_DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value(type_oid: u32, text: &str) -> Value {
        let mut out = Vec::new();
        write(&mut out, type_oid, text.as_bytes());
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn types_become_json() {
        assert_eq!(value(oid::BOOL, "t"), json!(true));
        assert_eq!(value(oid::INT8, "-9223372036854775808"), json!(i64::MIN));
        assert_eq!(value(1700, "12.3400"), json!("12.3400"));
        assert_eq!(value(oid::TIMESTAMPTZ, "2026-01-02 03:04:05.123456+00"), json!("2026-01-02T03:04:05.123456Z"));
        assert_eq!(value(oid::TIMESTAMPTZ, "infinity"), json!("infinity"));
        assert_eq!(value(oid::TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC"), json!("0044-03-15 00:00:00+00 BC"));
        assert_eq!(value(1082, "2026-01-02"), json!("2026-01-02"));
        assert_eq!(value(oid::JSONB, r#"{"a": [1, "x\"}"]}"#), json!({"a": [1, "x\"}"]}));
        assert_eq!(value(oid::TEXT_ARRAY, r#"{a,"b c",NULL}"#), json!(["a", "b c", null]));
        assert_eq!(value(oid::INT4_ARRAY, "{1,2}"), json!([1, 2]));
        assert_eq!(value(oid::BYTEA, "\\x00ff"), json!("00ff"));
        assert_eq!(value(oid::FLOAT8, "NaN"), json!("NaN"));
        assert_eq!(value(oid::FLOAT8, "1e-05"), json!(1e-5));
        assert_eq!(value(25, "tab\t\"q\"\u{1}"), json!("tab\t\"q\"\u{1}"));
    }

    #[test]
    fn what_others_cannot_read_travels_as_text() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let long = format!("1{}", "0".repeat(400));
        assert!(value(oid::JSONB, &deep).is_string());
        assert!(value(oid::JSONB, &long).is_string());
        assert!(value(oid::JSON, "\"\\ud800\"").is_string());
        assert!(value(oid::JSON, "1e999").is_string());
    }

    proptest! {
        #[test]
        fn always_json(type_oid in prop::sample::select(vec![16_u32, 17, 20, 23, 25, 114, 701, 1007, 1009, 1184, 1700, 2951]), text in ".{0,30}") {
            let _ = value(type_oid, &text);
        }
    }
}
