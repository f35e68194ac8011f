//! Single records: create or update by natural key, get by any id, list by pages.

use crate::caller::Caller;
use crate::http::{Door, POSITION};
use crate::{body, error, kind, metrics};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Position;
use oltp::command::Kind;
use oltp::read::Fields;
use oltp::{Ask, Done, Effect, Entity, OltpError, Page};
use runtime::Problem;
use serde::Serialize;
use serde_json::Value;
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

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
    if caller.context.if_version.is_some() && (kind.action || Entity::named(kind.noun).is_none()) {
        return Err(error::header("if-match", "is for paths that put a record"));
    }
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

/// The pairs of a query without `at_least`, the position that a read is to have reached. There is nothing to wait for: the store is
/// where writes are made.
fn pairs(query: Result<Query<Vec<(String, String)>>, QueryRejection>) -> Result<Vec<(String, String)>, Problem> {
    let Query(mut pairs) = query.map_err(|_| error::query("the query is not form-encoded UTF-8"))?;
    for (_, position) in pairs.extract_if(.., |(name, _)| name == "at_least") {
        position.parse::<Position>().map_err(|error| error::query(&format!("at_least: {error}")))?;
    }
    Ok(pairs)
}

/// Records of guarded kinds are for admins, and for keys that name the scope.
fn may_read(entity: &Entity, caller: &Caller) -> Result<(), Problem> {
    if entity.guarded { caller.may_by_name(&format!("{}:read", entity.area())) } else { Ok(()) }
}

/// What the store says of a query, as the door says it.
fn of_query(error: &OltpError) -> Problem {
    match error {
        OltpError::Invalid { code: "oltp.invalid_query", detail, .. } => error::query(detail),
        _ => error::of_store(error, ""),
    }
}

/// One record by our id or the caller's own.
pub(crate) async fn get(
    door: &Door,
    entity: &'static Entity,
    caller: &Caller,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    may_read(entity, caller)?;
    let Path(id) = id.map_err(|_| error::path())?;
    let pairs = pairs(query)?;
    let fields = match pairs.as_slice() {
        [] => None,
        [(name, text)] if name == "fields" => Some(Fields::parse(text).map_err(|error| of_query(&error))?),
        _ => return Err(error::query("the query of one record has at_least and fields, each once")),
    };
    let found =
        door.oltp.get(entity, &id, caller.sees_personal()).await.map_err(|error| error::of_store(&error, ""))?;
    let mut record = [found.ok_or_else(|| error::not_found(entity.name))?];
    let version = record[0]["row_version"].as_i64();
    if let Some(fields) = fields {
        fields.pick(&mut record).map_err(|error| of_query(&error))?;
    }
    let [record] = record;
    let mut response = Json(record).into_response();
    if let Some(version) = version
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A page of records.
pub(crate) async fn list(
    door: &Door,
    entity: &'static Entity,
    caller: &Caller,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    may_read(entity, caller)?;
    let pairs = pairs(query)?;
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let ask = Ask::parse(entity, pairs).map_err(|error| of_query(&error))?;
    let Page { items, next } = door.oltp.list(&ask, caller.sees_personal()).await.map_err(|error| of_query(&error))?;
    Ok(Json(Listed { items, next }).into_response())
}
