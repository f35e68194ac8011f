//! What the gateway refuses, and what can fail inside it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runtime::Problem;

/// A failure that ends a task of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus is closed for good; the process is stopping.
    #[error("the bus failed while write keys were followed: {0}. Restart the process")]
    Bus(#[from] bus::BusError),
}

/// Why a request is refused as a whole. Single events of a batch are never a reason: they go to quarantine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Write keys are not known yet.
    #[error("the gateway is still reading its write keys; send the request again")]
    Starting,
    /// No key, or one that is unknown or revoked.
    #[error(
        "the write key is missing, unknown or revoked; send it as the user of Basic authentication, or as `writeKey` in the body"
    )]
    WriteKey,
    /// Too many bytes.
    #[error("the body has more than {limit} bytes after inflating; send smaller batches")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Too many events.
    #[error("the batch has more than {limit} events; send smaller batches")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The bytes are no gzip.
    #[error("the body begins like gzip or is declared as gzip, but does not inflate")]
    Gzip,
    /// An encoding that nobody uses here.
    #[error("the content encoding is not supported; send gzip or nothing")]
    Encoding,
    /// The body is no JSON of the wanted form.
    #[error("the body is not a JSON object of the wanted form: {reason}")]
    Json {
        /// What is wrong; never holds a value.
        reason: String,
    },
    /// The batch's shared context is too large.
    #[error("the context of a batch may have {limit} bytes; put the rest into the events")]
    Context {
        /// The limit.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// Too much is in work.
    #[error("the gateway is busy; send the request again")]
    Busy,
    /// The bus did not make the events durable.
    #[error("the events could not be made durable; send the request again, with the same message ids")]
    Bus,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Starting => "gateway.starting",
            Self::WriteKey => "gateway.write_key",
            Self::TooLarge { .. } => "gateway.body_too_large",
            Self::TooMany { .. } => "gateway.too_many_events",
            Self::Gzip => "gateway.gzip",
            Self::Encoding => "gateway.content_encoding",
            Self::Json { .. } => "gateway.json",
            Self::Context { .. } => "gateway.context_too_large",
            Self::Slow => "gateway.body_timeout",
            Self::Broken => "gateway.body_incomplete",
            Self::Busy => "gateway.busy",
            Self::Bus => "gateway.bus",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Starting | Self::Busy | Self::Bus => StatusCode::SERVICE_UNAVAILABLE,
            Self::WriteKey => StatusCode::UNAUTHORIZED,
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::Context { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Gzip | Self::Json { .. } | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.status(), self.code(), self.to_string());
        let problem = if self.status() == StatusCode::SERVICE_UNAVAILABLE { problem.after(1) } else { problem };
        problem.into_response()
    }
}
