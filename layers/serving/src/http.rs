//! The door of serving: one person by any identity, SQL over many, and how fresh both are.

use crate::freshness::{Summary, await_token};
use crate::profiles::Asked;
use crate::{Analytics, AsOf, Config, Freshness, Limits, Profiles, Progress, QueryResult, ServingError, metrics};
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bus::Bus;
use model::{Identity, IdentityKind, Position, Tokeniser};
use runtime::auth::{Guard, Keys, Role, require};
use runtime::{Meter, Problem, http};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json_, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::{IntoParams, OpenApi, ToSchema};

/// Tells with every answer up to when it is complete, as JSON.
pub const AS_OF: HeaderName = HeaderName::from_static("storewide-as-of");
/// Tells with every CSV answer whether there were more rows than the limit: `true` or `false`.
pub const TRUNCATED: HeaderName = HeaderName::from_static("storewide-truncated");
/// Longest id or identity that is looked up, bytes.
const ID_BYTES_MAX: usize = 512;
/// Longest body of a request, bytes, beside the SQL text.
const BODY_BYTES_MAX: usize = 4 << 10;
/// Longest time in which a body must arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(15);

/// What the door needs.
#[derive(Clone)]
pub struct Serving {
    /// The section.
    pub config: Config,
    /// The bus, for reads that wait.
    pub bus: Arc<dyn Bus>,
    /// Columns.
    pub analytics: Arc<dyn Analytics>,
    /// Where the loop of the analytics stands.
    pub analytics_progress: Arc<Progress>,
    /// Documents.
    pub profiles: Profiles,
    /// Where the loop of the profiles stands.
    pub profiles_progress: Arc<Progress>,
    /// How fresh both are.
    pub freshness: Freshness,
    /// Makes tokens of what is asked.
    pub tokeniser: Tokeniser,
    /// The meter of serving.
    pub meter: Meter,
}

/// The routes under `/api/v1`; a key with the role reader passes.
pub fn router(serving: Serving, keys: Arc<dyn Keys>) -> Router {
    Router::new()
        .route("/api/v1/customers/lookup", post(lookup))
        .route("/api/v1/customers/{id}", get(customer))
        .route("/api/v1/sql", post(sql))
        .route("/api/v1/asof", get(as_of))
        .layer(from_fn_with_state(Guard { keys, role: Role::Reader, scope: "serving:read".into() }, require))
        .with_state(serving)
}

/// The door's part of the API's description.
#[derive(OpenApi)]
#[openapi(
    paths(customer, lookup, sql, as_of),
    components(schemas(LookupBody, SqlBody, Format, SqlAnswer, AsOf, AsOfAnswer))
)]
pub struct ApiDoc;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CustomerQuery {
    /// What the id is: id (default; a member's id or number, or a person's id), email, phone, card, anonymous or external.
    by: Option<String>,
    /// Wait until this write is in the answer: the `position` that it returned.
    at_least: Option<String>,
    /// Longest wait, milliseconds; 30,000 at most.
    wait_ms: Option<u64>,
}

/// Whom to look up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LookupBody {
    /// id, email, phone, card, anonymous or external.
    #[schema(example = "email")]
    kind: String,
    /// The value; personal ones are hashed before they are looked up.
    #[schema(example = "ann@example.com")]
    value: String,
    /// Wait until this write is in the answer: the `position` that it returned.
    at_least: Option<String>,
    /// Longest wait, milliseconds; 30,000 at most.
    wait_ms: Option<u64>,
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    /// One reading statement.
    #[schema(example = "select channel, count(*) as orders from orders group by 1")]
    sql: String,
    /// Wait until this write is in the answer: the `position` that it returned.
    at_least: Option<String>,
    /// Longest wait, milliseconds; 30,000 at most.
    wait_ms: Option<u64>,
    /// Most rows; an answer with more is cut there and says so.
    limit: Option<usize>,
    /// Longest time of the query, milliseconds.
    timeout_ms: Option<u64>,
    /// Form of the answer.
    #[serde(default)]
    format: Format,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// An object with columns, rows and as-of.
    #[default]
    Json,
    /// RFC 4180, with a header line; the header `Storewide-Truncated` tells whether it is cut.
    Csv,
}

/// An SQL answer as it travels.
#[derive(Serialize, ToSchema)]
struct SqlAnswer {
    #[serde(flatten)]
    result: QueryResult,
    as_of: AsOf,
}

/// How fresh serving is.
#[derive(Serialize, ToSchema)]
struct AsOfAnswer {
    analytics: AsOf,
    profiles: AsOf,
    freshness_ms: Summary,
}

/// All that is known of one person now, found by any identity.
#[utoipa::path(
    get,
    path = "/api/v1/customers/{id}",
    tag = "serving",
    params(("id" = String, Path, description = "what `by` says; prefer the look-up for e-mail and phone, which do not belong in a URL"), CustomerQuery),
    responses(
        (status = 200, description = "the profile, with its as-of", body = Object),
        (status = 400, description = "the question is wrong"),
        (status = 404, description = "nobody is known by this"),
        (status = 504, description = "`at_least` was not reached in time; ask again"),
    ),
    security(("key" = []))
)]
async fn customer(
    State(serving): State<Serving>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<CustomerQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(id) =
        id.map_err(|_| ServingError::Request("the id in the path is not percent-encoded UTF-8".to_owned()))?;
    // The rejection's text may repeat what was sent.
    let Query(query) = query.map_err(|_| {
        ServingError::Request("the query may have `by`, `at_least` and `wait_ms`, a number of milliseconds".to_owned())
    })?;
    let kind = query.by.as_deref().unwrap_or("id");
    serving.look_up(kind, &id, query.at_least.as_deref(), query.wait_ms).await.map_err(Problem::from)
}

/// As the profile by id, with the identity in the body.
#[utoipa::path(
    post,
    path = "/api/v1/customers/lookup",
    tag = "serving",
    request_body = LookupBody,
    responses((status = 200, description = "the profile, with its as-of", body = Object), (status = 404, description = "nobody is known by this")),
    security(("key" = []))
)]
async fn lookup(State(serving): State<Serving>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let body = http::body(body, BODY_BYTES_MAX, BODY_TIME_MAX).await?;
    let body: LookupBody = parse(&headers, &body)?;
    let wait = (body.at_least.as_deref(), body.wait_ms);
    serving.look_up(&body.kind, &body.value, wait.0, wait.1).await.map_err(Problem::from)
}

/// Answers one reading statement, within limits of rows, bytes and time.
#[utoipa::path(
    post,
    path = "/api/v1/sql",
    tag = "serving",
    request_body = SqlBody,
    responses(
        (status = 200, body = SqlAnswer),
        (status = 400, description = "the body is wrong"),
        (status = 403, description = "it is no reading statement, or uses what is not served"),
        (status = 422, description = "the engine refuses it, it took too long, or its answer is too large"),
        (status = 504, description = "`at_least` was not reached in time; ask again"),
    ),
    security(("key" = []))
)]
async fn sql(State(serving): State<Serving>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    // JSON may write a byte of the text as six.
    let limit = serving.config.sql_bytes_max.saturating_mul(6).saturating_add(BODY_BYTES_MAX);
    let body = http::body(body, limit, BODY_TIME_MAX).await?;
    let body: SqlBody = parse(&headers, &body)?;
    let progress = &serving.analytics_progress;
    serving.wait(progress, body.at_least.as_deref(), body.wait_ms).await?;
    // Before the query: what it finds is at least as new.
    let as_of = progress.as_of();
    let began = Instant::now();
    let limits = Limits::new(&serving.config, body.limit, body.timeout_ms);
    let result = serving.analytics.query(&body.sql, Vec::new(), limits).await?;
    serving.meter.took(metrics::QUERY, began.elapsed());
    let headers = as_of_header(&as_of);
    Ok(match body.format {
        Format::Json => (headers, Json(SqlAnswer { result, as_of })).into_response(),
        Format::Csv => {
            let truncated = HeaderValue::from_static(if result.truncated { "true" } else { "false" });
            let kind = HeaderValue::from_static("text/csv; charset=utf-8");
            (headers, [(header::CONTENT_TYPE, kind), (TRUNCATED, truncated)], csv(&result)).into_response()
        }
    })
}

/// Up to when answers are complete, and how long signals take to be served.
#[utoipa::path(get, path = "/api/v1/asof", tag = "serving", responses((status = 200, body = AsOfAnswer)), security(("key" = [])))]
async fn as_of(State(serving): State<Serving>) -> Response {
    let (analytics, profiles) = (serving.analytics_progress.as_of(), serving.profiles_progress.as_of());
    let headers = as_of_header(&analytics);
    (headers, Json(AsOfAnswer { analytics, profiles, freshness_ms: serving.freshness.summary() })).into_response()
}

impl Serving {
    async fn wait(
        &self,
        progress: &Progress,
        at_least: Option<&str>,
        wait_ms: Option<u64>,
    ) -> Result<(), ServingError> {
        let Some(text) = at_least else { return Ok(()) };
        let token: Position = text.parse().map_err(|error| ServingError::Request(format!("`at_least` is {error}")))?;
        await_token(self.bus.as_ref(), progress, &token, self.config.wait(wait_ms)).await
    }

    async fn look_up(
        &self,
        kind: &str,
        value: &str,
        at_least: Option<&str>,
        wait_ms: Option<u64>,
    ) -> Result<Response, ServingError> {
        let began = Instant::now();
        let asked = asked(&self.tokeniser, kind, value)?;
        self.wait(&self.profiles_progress, at_least, wait_ms).await?;
        let as_of = self.profiles_progress.as_of();
        let profiles = self.profiles.clone();
        let found = tokio::task::spawn_blocking(move || profiles.answer(&asked)).await;
        let found = found.map_err(|error| ServingError::Store(error.to_string()))??;
        self.meter.took(metrics::LOOKUP, began.elapsed());
        let Some(mut profile) = found else {
            // That nobody is known is an answer too, and as old as any.
            let unknown = Problem::from(ServingError::NotFound(if kind == "id" { "id" } else { "identity" }));
            return Ok((as_of_header(&as_of), unknown).into_response());
        };
        if let Json_::Object(fields) = &mut profile {
            fields.insert("as_of".to_owned(), json!(as_of));
        }
        Ok((as_of_header(&as_of), Json(profile)).into_response())
    }
}

/// What is asked for, personal values as tokens.
///
/// # Errors
/// When the kind is unknown or the value is none of its kind.
pub fn asked(tokeniser: &Tokeniser, kind: &str, value: &str) -> Result<Asked, ServingError> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        return Err(ServingError::Request(format!("an id has 1 to {ID_BYTES_MAX} bytes")));
    }
    if kind == "id" {
        return Ok(Asked::Id(value.to_owned()));
    }
    let kind: IdentityKind = kind.parse().map_err(|_| {
        ServingError::Request("the kinds are id, email, phone, card, anonymous and external".to_owned())
    })?;
    let identity: Identity =
        tokeniser.identify(kind, value).map_err(|error| ServingError::Request(error.to_string()))?;
    Ok(Asked::By(identity))
}

fn parse<'de, T: Deserialize<'de>>(headers: &HeaderMap, body: &'de [u8]) -> Result<T, ServingError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    if !kind.starts_with("application/json") {
        return Err(ServingError::Request("the body is JSON; send Content-Type: application/json".to_owned()));
    }
    // The parser's text may repeat what was sent; its place is enough.
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = if error.is_data() { "has a wrong, missing or unknown field" } else { "is no JSON" };
        ServingError::Request(format!("the body {what}, at line {line} column {column}"))
    })
}

fn as_of_header(as_of: &AsOf) -> [(HeaderName, HeaderValue); 1] {
    let text = serde_json::to_string(as_of).unwrap_or_default();
    [(AS_OF, HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("{}")))]
}

/// RFC 4180: a header line, CRLF, quotes where a value needs them; null is empty.
fn csv(result: &QueryResult) -> String {
    let mut text = String::new();
    let names = result.columns.iter().map(|column| field(&column.name));
    text.push_str(&names.collect::<Vec<_>>().join(","));
    text.push_str("\r\n");
    for row in &result.rows {
        let fields = row.iter().map(|value| match value {
            Json_::Null => String::new(),
            Json_::String(text) => field(text),
            other => field(&other.to_string()),
        });
        text.push_str(&fields.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

fn field(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueryColumn;

    #[test]
    fn csv_tells_nothing_from_empty_text() {
        let column = |name: &str| QueryColumn { name: name.to_owned(), kind: "varchar".to_owned() };
        let rows = vec![vec![json!("a,\"b\""), json!(null)], vec![json!(""), json!(1.5)]];
        let result = QueryResult { columns: vec![column("x"), column("y,z")], rows, truncated: false };
        assert_eq!(csv(&result), "x,\"y,z\"\r\n\"a,\"\"b\"\"\",\r\n\"\",1.5\r\n");
    }

    #[test]
    fn personal_values_are_asked_as_tokens() {
        let tokeniser = Tokeniser::new(b"k");
        let Ok(Asked::By(identity)) = asked(&tokeniser, "email", "Ann@Example.com") else {
            panic!("an e-mail is an identity")
        };
        assert_eq!(identity.token.len(), 32);
        assert_eq!(asked(&tokeniser, "id", "M1").unwrap(), Asked::Id("M1".to_owned()));
        for (kind, value) in [("email", "ann"), ("shoe", "1"), ("id", ""), ("id", &"x".repeat(600))] {
            assert!(asked(&tokeniser, kind, value).is_err(), "{kind}");
        }
    }
}
