//! Reading a body: the right type, no larger than allowed, in time; what is too large is refused before it is read.

use crate::config::Config;
use crate::error;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use runtime::Problem;
use runtime::http::{Unread, read};
use std::time::Duration;

/// Reads a JSON body whole.
pub(crate) async fn json(headers: &HeaderMap, body: Body, config: &Config) -> Result<Bytes, Problem> {
    check(headers, is_json, "application/json")?;
    let time = Duration::from_millis(config.body_ms_max);
    read(body, config.body_bytes_max, time).await.map_err(|unread| match unread {
        Unread::TooLarge => error::too_large(config.body_bytes_max),
        Unread::Slow => error::body_slow(config.body_ms_max),
        Unread::Broken => error::body_broken(),
    })
}

/// Checks that a body is what a door takes, by its headers.
pub(crate) fn check(headers: &HeaderMap, is: fn(&str) -> bool, expected: &str) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(error::encoding());
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is(&essence) { Ok(()) } else { Err(error::media_type(expected)) }
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether a type is that of JSON lines.
pub(crate) fn is_lines(essence: &str) -> bool {
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"].contains(&essence)
}
