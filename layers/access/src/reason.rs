//! Why a text is not the JSON that was asked for: status, code, JSON pointer and words that do not repeat the caller's values.

use axum::http::StatusCode;
use runtime::Problem;
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment, Track};
use std::marker::PhantomData;

/// Longest piece of a caller's key that stands in a pointer.
const SEGMENT_MAX: usize = 64;

/// Reads JSON. `prefix` is the JSON pointer of the text within the request.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8], prefix: &str) -> Result<T, Problem> {
    parse_as(PhantomData::<T>, text, prefix)
}

/// Reads JSON as what the seed makes of it.
pub(crate) fn parse_as<'t, S: DeserializeSeed<'t> + Copy>(
    seed: S,
    text: &'t [u8],
    prefix: &str,
) -> Result<S::Value, Problem> {
    let text = std::str::from_utf8(text).map_err(|error| crate::error::not_utf8(error.valid_up_to()))?;
    // The way to a fault is kept only once there is one: keeping it costs more than the reading.
    let mut fast = serde_json::Deserializer::from_str(text);
    if let Ok(value) = seed.deserialize(&mut fast)
        && fast.end().is_ok()
    {
        return Ok(value);
    }
    let mut slow = serde_json::Deserializer::from_str(text);
    let mut track = Track::new();
    let value = seed.deserialize(serde_path_to_error::Deserializer::new(&mut slow, &mut track));
    let value = value.map_err(|error| problem(&error, &format!("{prefix}{}", pointer(&track.path()))))?;
    slow.end().map_err(|error| problem(&error, prefix))?;
    Ok(value)
}

fn problem(error: &serde_json::Error, pointer: &str) -> Problem {
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            let detail = format!("this is not JSON as it can be read: {words}, at {place}");
            Problem::new(StatusCode::BAD_REQUEST, "access.invalid_json", detail)
        }
        Category::Data => {
            let detail = format!("{}, at {place}", without_values(&error.to_string()));
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "access.invalid_body", detail);
            if pointer.is_empty() { problem } else { problem.at(pointer) }
        }
    }
}

/// serde's sentence without what the caller wrote, which may be personal.
pub(crate) fn without_values(message: &str) -> String {
    let expected = message.rfind(", expected ").map(|at| {
        let words = &message[at + ", expected ".len()..];
        words.rfind(" at line ").map_or(words, |end| &words[..end])
    });
    let start = |prefix: &str| message.strip_prefix(prefix);
    if start("missing field `").is_some() || start("duplicate field `").is_some() {
        // The name is one of ours.
        return message.split(" at line ").next().unwrap_or_default().to_owned();
    }
    let what = if start("unknown field ").is_some() {
        "this field is not known"
    } else if start("unknown variant ").is_some() {
        "this value is not known"
    } else if let Some(rest) = start("invalid type: ") {
        return match expected {
            Some(expected) => format!("the value has the wrong type ({}): expected {expected}", first_words(rest)),
            None => "the value has the wrong type".to_owned(),
        };
    } else {
        "the value is not valid"
    };
    expected.map_or_else(|| what.to_owned(), |expected| format!("{what}: expected {expected}"))
}

/// The kind of a value in serde's words (`string`, `floating point`), without the value that follows it.
fn first_words(text: &str) -> &str {
    let end = text.find(['"', '`', ',']).unwrap_or(text.len());
    text[..end].trim_end()
}

fn pointer(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                let key: String = key.chars().take(SEGMENT_MAX).collect();
                text.push('/');
                text.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use oltp::command::{PutMember, PutOrder};

    fn refused<T: DeserializeOwned>(text: &str) -> (u16, String, String) {
        let problem = parse::<T>(text.as_bytes(), "").err().unwrap();
        (problem.status, problem.pointer.unwrap_or_default(), problem.detail)
    }

    #[test]
    fn the_place_is_named_and_the_value_is_not() {
        let order = |lines: &str| {
            format!(
                r#"{{"source":"s","order_no":"1","channel":"pos","placed_at":"2026-01-01T00:00:00Z","currency":"USD","lines":{lines}}}"#
            )
        };
        let cases = [
            (
                order(
                    r#"[{"line_no":1,"sku_code":"a","quantity":"1"},{"line_no":"secret","sku_code":"a","quantity":"1"}]"#,
                ),
                "/lines/1/line_no",
            ),
            (order(r#"[{"line_no":1,"sku_code":"a","quantity":"secret"}]"#), "/lines/0/quantity"),
            (order(r#"[{"line_no":1,"sku_code":"a","quantity":"1","x/y":"secret"}]"#), "/lines/0/x~1y"),
            (order(r#""secret""#), "/lines"),
        ];
        for (text, place) in cases {
            let (status, pointer, detail) = refused::<PutOrder>(&text);
            assert_eq!((status, pointer.as_str()), (422, place), "{detail}");
            assert!(!detail.contains("secret"), "{detail}");
        }
        let (status, pointer, detail) =
            refused::<PutMember>(r#"{"member_no":"1","identities":[{"kind":"secret, expected ","value":"v"}]}"#);
        assert_eq!((status, pointer.as_str()), (422, "/identities/0/kind"));
        assert!(!detail.contains("secret") && detail.contains("email"), "{detail}");
        let (_, pointer, detail) = refused::<PutMember>(r#"{"member_no":"1","birth_date":"1990-99-secret"}"#);
        assert!(pointer == "/birth_date" && !detail.contains("secret"), "{detail}");
        assert!(refused::<PutMember>("{}").2.contains("missing field `member_no`"));
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        let deep =
            format!(r#"{{"member_no":"1","attributes":{{"a":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        for text in ["", "{", r#"{"member_no":"1"}}"#, "{'a':1}", r#"{"member_no":"\ud800"}"#, &deep] {
            assert_eq!(refused::<PutMember>(text).0, 400, "{}", &text[..text.len().min(40)]);
        }
        let problem = parse::<PutMember>(b"{\"member_no\":\"\xff\"}", "").err().unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (400, "access.invalid_utf8"));
    }
}
