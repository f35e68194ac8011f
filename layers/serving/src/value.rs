//! Values of serving tables: typed, so that no engine has to guess.

use jiff::civil::Date;
use model::{Decimal, Timestamp};
use serde_json::Value as Json;

/// Scale of all decimals.
pub const DECIMAL_SCALE: u32 = 4;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// 64-bit integer.
    Int,
    /// Exact decimal, 18 digits, 4 of them after the point.
    Decimal,
    /// Text.
    Text,
    /// A moment in UTC, microseconds.
    Timestamp,
    /// A calendar day.
    Date,
    /// A UUID.
    Uuid,
    /// A JSON document as text.
    Json,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A large column that did not change and was not sent: the row served keeps its value.
    Unchanged,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A decimal times 10,000.
    Decimal(i64),
    /// Text, or a JSON document.
    Text(String),
    /// Microseconds since 1970 UTC.
    Timestamp(i64),
    /// Days since 1970.
    Date(i32),
    /// A UUID.
    Uuid(u128),
}

impl Value {
    /// Text of something that can be shown as text.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// A moment.
    #[must_use]
    pub fn moment(at: Timestamp) -> Self {
        Self::Timestamp(at.as_microsecond())
    }

    /// A UUID.
    #[must_use]
    pub const fn uuid(id: uuid::Uuid) -> Self {
        Self::Uuid(id.as_u128())
    }

    /// Reads a value of a kind from JSON as it stands in change records: numerics and times may be text.
    ///
    /// # Errors
    /// What is wrong, without the value, which may be personal.
    pub fn read(kind: Kind, json: Json) -> Result<Self, &'static str> {
        if json.is_null() {
            return Ok(Self::Null);
        }
        match (kind, json) {
            (Kind::Json, json) => Ok(Self::Text(json.to_string())),
            (Kind::Text, Json::String(text)) => Ok(Self::Text(text)),
            (Kind::Text, json) => Ok(Self::Text(json.to_string())),
            (Kind::Bool, Json::Bool(value)) => Ok(Self::Bool(value)),
            (Kind::Bool, Json::String(text)) => read_bool(&text),
            (Kind::Int, Json::Number(number)) => number.as_i64().map(Self::Int).ok_or("not a 64-bit integer"),
            (Kind::Int, Json::String(text)) => text.parse().map(Self::Int).map_err(|_| "not a 64-bit integer"),
            (Kind::Decimal, Json::Number(number)) => read_decimal(&number.to_string()),
            (Kind::Decimal, Json::String(text)) => read_decimal(&text),
            (Kind::Timestamp, Json::String(text)) => read_timestamp(&text),
            (Kind::Date, Json::String(text)) => read_date(&text),
            (Kind::Uuid, Json::String(text)) => text.parse().map(Self::uuid).map_err(|_| "not a UUID"),
            _ => Err("of another type than its column"),
        }
    }

    /// The value as JSON, as profiles show it.
    #[must_use]
    pub fn to_json(&self, kind: Kind) -> Json {
        match self {
            Self::Null | Self::Unchanged => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Decimal(value) => Json::String(Decimal::new(*value, DECIMAL_SCALE).normalize().to_string()),
            Self::Text(text) if kind == Kind::Json => {
                serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
            }
            Self::Text(text) => Json::String(text.clone()),
            Self::Timestamp(micros) => {
                Timestamp::from_microsecond(*micros).map_or(Json::Null, |at| Json::String(at.to_string()))
            }
            Self::Date(days) => date_of(*days).map_or(Json::Null, |date| Json::String(date.to_string())),
            Self::Uuid(id) => Json::String(uuid::Uuid::from_u128(*id).to_string()),
        }
    }

    /// Adds bytes that tell this value from every other of its kind; for keys.
    pub(crate) fn key_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Unchanged => out.push(0),
            Self::Bool(value) => out.push(1 + u8::from(*value)),
            Self::Int(value) | Self::Decimal(value) | Self::Timestamp(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Date(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Text(text) => {
                out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Uuid(id) => out.extend_from_slice(&id.to_be_bytes()),
        }
    }
}

fn read_bool(text: &str) -> Result<Value, &'static str> {
    match text {
        "t" | "true" => Ok(Value::Bool(true)),
        "f" | "false" => Ok(Value::Bool(false)),
        _ => Err("not true or false"),
    }
}

fn read_decimal(text: &str) -> Result<Value, &'static str> {
    const WRONG: &str = "not a decimal of 18 digits, 4 of them after the point";
    let mut decimal: Decimal = text.parse().map_err(|_| WRONG)?;
    decimal.rescale(DECIMAL_SCALE);
    if decimal.scale() != DECIMAL_SCALE {
        return Err(WRONG);
    }
    i64::try_from(decimal.mantissa()).map(Value::Decimal).map_err(|_| WRONG)
}

fn read_timestamp(text: &str) -> Result<Value, &'static str> {
    text.parse::<Timestamp>().map(Value::moment).map_err(|_| "not a moment with its offset")
}

fn read_date(text: &str) -> Result<Value, &'static str> {
    let date: Date = text.parse().map_err(|_| "not a calendar day")?;
    let days = (date - Date::constant(1970, 1, 1)).get_days();
    Ok(Value::Date(days))
}

fn date_of(days: i32) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_the_store_writes() {
        let read = |kind, json| Value::read(kind, json).unwrap();
        assert_eq!(read(Kind::Decimal, json!("12.5")), Value::Decimal(125_000));
        assert_eq!(read(Kind::Decimal, json!(-3)), Value::Decimal(-30_000));
        assert_eq!(
            read(Kind::Timestamp, json!("2026-11-23 22:14:00.5+00")),
            read(Kind::Timestamp, json!("2026-11-23T22:14:00.5Z"))
        );
        assert_eq!(read(Kind::Date, json!("1970-02-01")), Value::Date(31));
        assert_eq!(read(Kind::Date, json!("1969-12-31")), Value::Date(-1));
        assert_eq!(read(Kind::Bool, json!("t")), Value::Bool(true));
        assert_eq!(read(Kind::Int, json!("-7")), Value::Int(-7));
        assert_eq!(read(Kind::Json, json!("{}")), Value::text("\"{}\""));
        assert_eq!(read(Kind::Json, json!({"a": 1})), Value::text(r#"{"a":1}"#));
        assert_eq!(read(Kind::Uuid, json!(null)), Value::Null);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for (kind, json) in [
            (Kind::Uuid, json!("x")),
            (Kind::Decimal, json!("99999999999999999999")),
            (Kind::Int, json!(1.5)),
            (Kind::Timestamp, json!("yesterday")),
            (Kind::Date, json!(3)),
            (Kind::Bool, json!("yes")),
        ] {
            assert!(Value::read(kind, json.clone()).is_err(), "{kind:?} {json}");
        }
    }

    #[test]
    fn shows_what_it_read() {
        for (kind, json) in [
            (Kind::Decimal, json!("12.5")),
            (Kind::Date, json!("2024-02-29")),
            (Kind::Timestamp, json!("2026-11-23T22:14:00.5Z")),
            (Kind::Json, json!({"a": [1, null]})),
            (Kind::Uuid, json!("018f0000-0000-7000-8000-000000000001")),
        ] {
            assert_eq!(Value::read(kind, json.clone()).unwrap().to_json(kind), json);
        }
    }
}
