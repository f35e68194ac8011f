//! Single records: create or update by natural key, get by any id, list by pages.

use crate::caller::Caller;
use crate::http::{Door, POSITION};
use crate::reason::without_values;
use crate::{body, error, kind, metrics};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{Position, Timestamp};
use oltp::command::Kind;
use oltp::read::PAGE_MAX;
use oltp::{Done, Effect, Entity, Filter};
use runtime::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// Records on a page when the caller does not say.
const PAGE: u32 = 100;

/// What a write did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Written {
    /// Our id of the record.
    pub(crate) id: Uuid,
    /// created, updated or unchanged.
    pub(crate) effect: Effect,
    /// Whether this is the first answer again, to a repeat with the same idempotency key.
    pub(crate) repeated: bool,
    /// The record's version after the write.
    pub(crate) row_version: i64,
    /// What an action found or made, such as a balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    /// Pass it on as `at_least` to read what was written.
    #[schema(example = "w-00000016b374d848")]
    pub(crate) position: String,
}

/// The fields of a list's query.
const LIST_FIELDS: [&str; 6] = ["cursor", "limit", "updated_since", "status", "member", "at_least"];

/// What a list may be asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListQuery {
    cursor: Option<String>,
    limit: Option<u32>,
    updated_since: Option<Timestamp>,
    status: Option<String>,
    member: Option<String>,
    at_least: Option<String>,
}

/// What a single record may be asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GetQuery {
    at_least: Option<String>,
}

/// A page of records.
#[derive(Clone, Debug, Serialize)]
struct Listed {
    items: Vec<Value>,
    next: Option<String>,
}

/// `201` for a new record, `200` for any other and for actions.
pub(crate) const fn status_of(kind: &Kind, effect: Effect) -> StatusCode {
    match effect {
        Effect::Created if !kind.action => StatusCode::CREATED,
        _ => StatusCode::OK,
    }
}

/// Runs a command: puts a record, or does an action.
pub(crate) async fn put(
    door: &Door,
    kind: &'static Kind,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::json(headers, body, &door.config).await?;
    let started = Instant::now();
    let command = kind::command(kind, &body, "")?;
    drop(body);
    let (done, position) =
        door.oltp.run(&caller.context, &command).await.map_err(|error| error::of_store(&error, ""))?;
    door.meter.handled(kind.noun, 1);
    door.meter.took(metrics::WRITE, started.elapsed());
    if done.repeated {
        door.meter.count(metrics::REPEATED, 1);
    }
    Ok(written(kind, done, &position, door))
}

fn written(kind: &Kind, done: Done, position: &Position, door: &Door) -> Response {
    let token = position.to_string();
    door.meter.position(token.as_str());
    let header = HeaderValue::from_str(&token).ok();
    let Done { id, effect, repeated, row_version, result } = done;
    let mut response =
        (status_of(kind, effect), Json(Written { id, effect, repeated, row_version, result, position: token }))
            .into_response();
    if let Some(value) = header {
        response.headers_mut().insert(POSITION, value);
    }
    response
}

/// Checks the position that a read is to have reached. There is nothing to wait for: the store is where writes are made.
fn check_position(at_least: Option<&str>) -> Result<(), Problem> {
    match at_least.map(str::parse::<Position>) {
        Some(Err(error)) => Err(error::query(&format!("at_least: {error}"))),
        _ => Ok(()),
    }
}

/// One record by our id or the caller's own.
pub(crate) async fn get(
    door: &Door,
    entity: Entity,
    caller: &Caller,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<GetQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| error::path())?;
    let Query(query) = query.map_err(|_| error::query("the query may say at_least=<position>"))?;
    check_position(query.at_least.as_deref())?;
    let found = door.oltp.get(entity, &id, caller.sees_personal).await.map_err(|error| error::of_store(&error, ""))?;
    found.map(|record| Json(record).into_response()).ok_or_else(|| error::not_found(entity.name()))
}

/// A page of records, in the order in which they were made.
pub(crate) async fn list(
    door: &Door,
    entity: Entity,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| {
        // `Failed to deserialize query string: updated_since: <reason>`
        let text = rejection.body_text();
        let reason = text.split_once(": ").map_or("", |(_, reason)| reason);
        let (field, reason) = match reason.split_once(": ") {
            Some((field, reason)) if LIST_FIELDS.contains(&field) => (field, reason),
            _ => ("the query", reason),
        };
        error::query(&format!("{field}: {}", without_values(reason)))
    })?;
    check_position(query.at_least.as_deref())?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(error::query(&format!("limit is between 1 and {PAGE_MAX}")));
    }
    if query.member.is_some() && !matches!(entity, Entity::Order | Entity::Return) {
        return Err(error::query("only orders and returns can be narrowed by member"));
    }
    let filter = Filter { updated_since: query.updated_since, status: query.status, member: query.member };
    let page = door.oltp.list(entity, query.cursor.as_deref(), limit, &filter).await;
    let page = page.map_err(|error| error::of_store(&error, ""))?;
    Ok(Json(Listed { items: page.items, next: page.next }).into_response())
}
