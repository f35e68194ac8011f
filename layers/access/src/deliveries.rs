//! The inbox as an operator sees it: what came, what became of it, and having it run again.

use crate::caller::Caller;
use crate::intake::Intake;
use crate::reason::parse;
use crate::{body, error};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use oltp::inbox::{DELIVERIES_MAX, DeliveryFilter, REPLAYS_MAX, Replayed};
use runtime::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

/// Deliveries on a page when the caller does not say.
const PAGE: u32 = 50;

/// Which deliveries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InboxQuery {
    /// received, retry, done or dead.
    status: Option<String>,
    /// Name of the source.
    source: Option<String>,
    /// Its account.
    account: Option<String>,
    /// What the deliveries say they are.
    kind: Option<String>,
    /// Code of the last fault.
    code: Option<String>,
    /// The source's own id.
    delivery_id: Option<String>,
    /// Received at or after this time.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// Received before this time.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Deliveries on a page, 1 to 500; 50 when absent.
    limit: Option<u32>,
}

/// Which deliveries to run again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReplayMany {
    status: Option<String>,
    source: Option<String>,
    account: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    delivery_id: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: Option<u32>,
    anew: bool,
}

/// How to run a delivery again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReplayOne {
    /// A body in place of the one that came.
    payload: Option<Box<RawValue>>,
    /// Run all its commands as new ones.
    anew: bool,
}

fn id_of(path: Result<Path<String>, PathRejection>) -> Result<Uuid, Problem> {
    let Path(id) = path.map_err(|_| error::path())?;
    Uuid::parse_str(&id).map_err(|_| error::not_found("delivery"))
}

/// Deliveries, newest first, without what they hold.
#[utoipa::path(get, path = "/api/v1/inbox", tag = "inbox", params(InboxQuery), security(("key" = [])),
    responses((status = 200, body = Object), (status = 400, description = "A bad query"), (status = 401), (status = 422), (status = 503)))]
pub(crate) async fn list(
    State(intake): State<Intake>,
    query: Result<Query<InboxQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|_| {
        error::query("the query narrows by status, source, account, kind, code, delivery_id, since, until")
    })?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=DELIVERIES_MAX).contains(&limit) {
        return Err(error::query(&format!("limit is between 1 and {DELIVERIES_MAX}")));
    }
    let InboxQuery { status, source, account, kind, code, delivery_id, since, until, cursor, .. } = query;
    let filter = DeliveryFilter { status, source, account, kind, code, delivery_id, since, until };
    let page = intake.oltp.list_deliveries(&filter, cursor.as_deref(), limit).await;
    let page = page.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(json!({ "items": page.items, "next": page.next })).into_response())
}

/// How many wait, how many were given up, and how old the oldest is.
#[utoipa::path(get, path = "/api/v1/inbox/standing", tag = "inbox", security(("key" = [])),
    responses((status = 200, body = Object), (status = 401), (status = 503)))]
pub(crate) async fn standing(State(intake): State<Intake>) -> Result<Response, Problem> {
    let standing = intake.oltp.inbox_standing().await.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(standing).into_response())
}

/// One delivery; with its headers and its body for keys that see personal values.
#[utoipa::path(get, path = "/api/v1/inbox/{id}", tag = "inbox", params(("id" = String, Path, description = "The id of its receipt")),
    security(("key" = [])), responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 503)))]
pub(crate) async fn get(
    State(intake): State<Intake>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = id_of(path)?;
    let found = intake.oltp.delivery(id).await.map_err(|error| error::of_store(&error, ""))?;
    let found = found.ok_or_else(|| error::not_found("delivery"))?;
    let mut shown = found.facts;
    if caller.sees_personal() {
        shown["headers"] = found.headers;
        for (name, body) in [("payload", found.payload), ("corrected_payload", found.corrected)] {
            shown[name] = body.map_or(Value::Null, |body| readable(&body));
        }
    }
    Ok(Json(shown).into_response())
}

/// A body as JSON where it is JSON, as text where it is text, else in hex.
fn readable(body: &[u8]) -> Value {
    let text = || std::str::from_utf8(body).map_or_else(|_| Value::String(hex::encode(body)), |text| json!(text));
    serde_json::from_slice(body).unwrap_or_else(|_| text())
}

/// Has a delivery run again, corrected where a `payload` is given. What was done is not done twice, unless it is asked for `anew`.
#[utoipa::path(post, path = "/api/v1/inbox/{id}/replay", tag = "inbox", params(("id" = String, Path, description = "The id of its receipt")),
    request_body(content = Object, description = "`payload`: a body in place of the one that came; `anew`: run all commands as new ones. May be empty."),
    security(("key" = [])),
    responses((status = 202, body = Object), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409, description = "It is being run, waits to be, or its body was taken away"), (status = 408), (status = 413), (status = 415), (status = 422), (status = 503)))]
pub(crate) async fn replay(
    State(intake): State<Intake>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_of(path)?;
    let asked: ReplayOne = optional(&intake, &headers, body).await?;
    let correction = asked.payload.as_ref().map(|payload| payload.get().as_bytes());
    if correction.is_some_and(|payload| payload.len() > intake.config.inbox.body_bytes_max) {
        return Err(error::too_large(intake.config.inbox.body_bytes_max));
    }
    let replayed = intake.oltp.replay_delivery(&caller.context, id, correction, asked.anew).await;
    let replayed = replayed.map_err(|error| error::of_store(&error, ""))?;
    let Replayed { status, replayed, why } = replayed.ok_or_else(|| error::not_found("delivery"))?;
    if !replayed {
        let detail = match why.as_deref() {
            Some("payload_gone") => "its body was taken away when it had been done for long; send one as `payload`",
            Some("running") => "it is being run now",
            _ => "it waits to be run",
        };
        return Err(Problem::new(StatusCode::CONFLICT, "access.not_replayable", detail));
    }
    intake.delivered.notify_one();
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "status_before": status }))).into_response())
}

/// Has many deliveries run again: those of a filter that are done or dead, the newest first.
#[utoipa::path(post, path = "/api/v1/inbox/replay", tag = "inbox",
    request_body(content = Object, description = "`status` (dead when absent), `source`, `account`, `kind`, `code`, `delivery_id`, `since`, `until` as in the list; `limit`, 1 to 10,000 (1,000 when absent); `anew`"),
    security(("key" = [])), responses((status = 202, body = Object), (status = 400), (status = 401), (status = 403), (status = 408), (status = 413), (status = 415), (status = 422), (status = 503)))]
pub(crate) async fn replay_many(
    State(intake): State<Intake>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: ReplayMany = optional(&intake, &headers, body).await?;
    let limit = asked.limit.unwrap_or(1_000);
    if !(1..=REPLAYS_MAX).contains(&limit) {
        let detail = format!("limit is between 1 and {REPLAYS_MAX}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "access.invalid_body", detail).at("/limit"));
    }
    let ReplayMany { status, source, account, kind, code, delivery_id, since, until, anew, .. } = asked;
    let status = status.or_else(|| Some("dead".to_owned()));
    let filter = DeliveryFilter { status, source, account, kind, code, delivery_id, since, until };
    let replayed = intake.oltp.replay_deliveries(&caller.context, &filter, limit, anew).await;
    let replayed = replayed.map_err(|error| error::of_store(&error, ""))?;
    intake.delivered.notify_one();
    Ok((StatusCode::ACCEPTED, Json(json!({ "replayed": replayed }))).into_response())
}

/// A JSON body that may be absent.
async fn optional<T: Default + serde::de::DeserializeOwned>(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    use axum::body::HttpBody as _;
    if body.is_end_stream() {
        return Ok(T::default());
    }
    let read = body::json(headers, body, &intake.config).await?;
    parse(&read, "")
}
