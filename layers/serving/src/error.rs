//! What can go wrong in serving.

use axum::http::StatusCode;
use bus::BusError;
use runtime::Problem;

/// A failure of serving.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The question is wrong: it cannot be parsed or bound, or fails while it runs. Mend it.
    #[error("{0}")]
    Query(String),
    /// The question is not a read. Ask with one SELECT, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
    #[error(
        "only one reading statement is served (SELECT, WITH, VALUES, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN): {0}"
    )]
    NotARead(String),
    /// The question uses what is not served: it would act, read what is not the caller's, or endanger the process. Ask without it.
    #[error("not served here: {0}")]
    NotServed(String),
    /// The question took too long and was stopped. Narrow it, or give it more time.
    #[error("the query was stopped after {0} ms; narrow it or raise timeout_ms")]
    Timeout(u64),
    /// The answer is larger than the limit. Aggregate, or ask for fewer columns or rows.
    #[error("the answer is larger than {0} bytes; aggregate, or ask for fewer columns or rows")]
    TooLarge(usize),
    /// The store of serving failed; nothing of the call was kept. Retry; if it stays, look at the disk.
    #[error("serving store: {0}")]
    Store(String),
    /// The files of the store were written by another version. Delete the analytics folder: it is rebuilt from the bus.
    #[error("the analytics file has {found}; this program needs {needed}; delete it, it is rebuilt from the bus")]
    Version {
        /// What the file has.
        found: String,
        /// What the program needs.
        needed: String,
    },
    /// The store and the bus are not of one deployment. Delete the serving store: it is rebuilt from the bus.
    #[error(
        "what is served of {at} reaches to {served}, the bus only to {bus}: they are not of one deployment; \
         delete the serving store, it is rebuilt from the bus"
    )]
    Foreign {
        /// The partition.
        at: String,
        /// Next offset as served.
        served: i64,
        /// End of the bus.
        bus: i64,
    },
    /// A value of the sections `[serving]` or `[duckdb]` cannot be used. Mend it and start again.
    #[error("configuration: {0}")]
    Config(String),
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What the read asked for is not served yet. Retry.
    #[error("not served yet: {0}")]
    NotYet(String),
    /// Nobody is known by that id.
    #[error("nobody is known by this {0}")]
    NotFound(&'static str),
    /// The request is malformed.
    #[error("{0}")]
    Request(String),
}

impl ServingError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(_) | Self::NotYet(_) => true,
            Self::Bus(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl From<ServingError> for Problem {
    fn from(error: ServingError) -> Self {
        let (status, code) = match &error {
            ServingError::Query(_) => (StatusCode::UNPROCESSABLE_ENTITY, "serving.query_failed"),
            ServingError::NotARead(_) => (StatusCode::FORBIDDEN, "serving.read_only"),
            ServingError::NotServed(_) => (StatusCode::FORBIDDEN, "serving.not_served"),
            ServingError::Timeout(_) => (StatusCode::UNPROCESSABLE_ENTITY, "serving.query_timeout"),
            ServingError::TooLarge(_) => (StatusCode::UNPROCESSABLE_ENTITY, "serving.answer_too_large"),
            ServingError::Store(_)
            | ServingError::Bus(_)
            | ServingError::Config(_)
            | ServingError::Foreign { .. }
            | ServingError::Version { .. } => (StatusCode::SERVICE_UNAVAILABLE, "serving.unavailable"),
            ServingError::NotYet(_) => (StatusCode::GATEWAY_TIMEOUT, "serving.not_yet"),
            ServingError::NotFound(_) => (StatusCode::NOT_FOUND, "serving.unknown_person"),
            ServingError::Request(_) => (StatusCode::BAD_REQUEST, "serving.bad_request"),
        };
        let retry = error.is_retryable();
        let problem = Self::new(status, code, error.to_string());
        if retry { problem.after(1) } else { problem }
    }
}
