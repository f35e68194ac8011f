//! What the door answers when it does not do what it was asked. Texts name fields and limits, never values.

use crate::tap::whole_seconds;
use axum::http::StatusCode;
use oltp::OltpError;
use runtime::Problem;
use std::time::Duration;

/// Seconds to wait before a retry when the house is busy.
const RETRY_AFTER_S: u32 = 1;

/// A store's error as the caller sees it. `prefix` is where the command stands in the request.
pub(crate) fn of_store(error: &OltpError, prefix: &str) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut problem = Problem::new(status, error.code(), error.detail());
    problem.retry = error.retry();
    if let Some(pointer) = error.pointer() {
        problem = problem.at(format!("{prefix}{pointer}"));
    }
    if problem.retry { problem.after(RETRY_AFTER_S) } else { problem }
}

pub(crate) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes; send many records as lines to /api/v1/batch");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "access.body_too_large", detail)
}

pub(crate) fn body_slow(milliseconds: u64) -> Problem {
    let detail = format!("the body did not arrive within {milliseconds} ms");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "access.body_timeout", detail)
}

pub(crate) fn body_broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "access.body_broken", "the body ended before its time; nothing was done")
}

pub(crate) fn media_type(expected: &str) -> Problem {
    let detail = format!("send the body as `Content-Type: {expected}`");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "access.unsupported_media_type", detail)
}

pub(crate) fn encoding() -> Problem {
    let detail = "send the body without Content-Encoding";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "access.unsupported_encoding", detail)
}

pub(crate) fn not_utf8(at: usize) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "access.invalid_utf8", format!("the text is not UTF-8 at byte {at}"))
}

pub(crate) fn header(name: &str, rule: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "access.invalid_header", format!("the header {name} {rule}"))
}

pub(crate) fn query(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "access.invalid_query", detail)
}

pub(crate) fn path() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "access.invalid_path", "the id in the path is not percent-encoded UTF-8")
}

pub(crate) fn not_found(noun: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "access.not_found", format!("there is no such {noun}"))
}

pub(crate) fn busy() -> Problem {
    let detail = "too many requests are under way; retry with the same idempotency key";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "access.busy", detail).after(RETRY_AFTER_S)
}

pub(crate) fn limited(wait: Duration) -> Problem {
    let seconds = u32::try_from(whole_seconds(wait)).unwrap_or(u32::MAX).max(1);
    let detail = "the key has asked too often; wait, or ask for a key with a higher limit";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "access.rate_limited", detail).after(seconds)
}
