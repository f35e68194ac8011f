//! RFC 9457 problem documents: the one form of an error at every HTTP door.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// What failed, whether to retry, and what to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// A URI reference of the kind of problem: `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// HTTP status.
    pub status: u16,
    /// A short summary, the same for every problem of the code.
    pub title: String,
    /// What is wrong in this request. Never holds personal data or secrets.
    pub detail: String,
    /// Stable code, such as `access.unknown_sku`.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// Where in the request the problem is, as a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Seconds to wait before a retry.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a code; the title is the status' own phrase.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: detail.into(),
            code: code.to_owned(),
            retry: matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504),
            pointer: None,
            retry_after: None,
        }
    }

    /// Says where in the request the problem is.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Says how long to wait before a retry.
    #[must_use]
    pub const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let wait = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
