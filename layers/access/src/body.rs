//! Reading a body: the right type, no larger than allowed, in time; what is too large is refused before it is read.

use crate::config::Config;
use crate::error;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use runtime::Problem;
use std::time::Duration;

/// What a refused sender may still send before the connection is cut: a sender that is cut off while it sends may not see the
/// answer.
const DRAIN_BYTES_MAX: usize = 256 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads a JSON body whole.
pub(crate) async fn json(headers: &HeaderMap, body: Body, config: &Config) -> Result<Bytes, Problem> {
    check(headers, is_json, "application/json")?;
    let limit = config.body_bytes_max;
    if body.size_hint().lower() > limit as u64 {
        drain(body);
        return Err(error::too_large(limit));
    }
    match tokio::time::timeout(Duration::from_millis(config.body_ms_max), collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(error::body_slow(config.body_ms_max)),
    }
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

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit);
    let mut whole = BytesMut::with_capacity(expected);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| error::body_broken())?;
        if whole.len() + piece.len() > limit {
            drain(Body::from_stream(pieces));
            return Err(error::too_large(limit));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Reads and forgets the rest of a refused body beside the answer, within limits.
pub(crate) fn drain(body: Body) {
    tokio::spawn(tokio::time::timeout(DRAIN_TIME_MAX, async move {
        let mut pieces = body.into_data_stream();
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(piece)) = pieces.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    }));
}
