//! API keys of this listener and write keys of the gateway: made, listed and revoked by administrators.

use crate::caller::Caller;
use crate::http::Door;
use crate::{body, error, reason};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use oltp::KeyInfo;
use runtime::Problem;
use runtime::auth::Role;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a key opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Opens {
    /// This API.
    #[default]
    Api,
    /// The gateway, for a source of behaviour events.
    Write,
}

/// A key to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// Name: whom it is for; the audit log has the key's id. For write keys the source.
    #[schema(example = "till-367")]
    name: String,
    /// api (default) or write.
    #[serde(default)]
    kind: Opens,
    /// reader, writer or admin; for API keys only.
    #[schema(value_type = Option<String>, example = "writer")]
    role: Option<Role>,
    /// Until when it is valid; for API keys only.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
}

/// A key just made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// Id, for revoking.
    id: Uuid,
    /// Name.
    name: String,
    /// What it opens.
    kind: Opens,
    /// The secret. It is shown this once and not kept.
    secret: String,
}

/// A key as it is listed.
#[derive(Clone, Debug, Serialize)]
struct Listed {
    kind: Opens,
    #[serde(flatten)]
    info: KeyInfo,
}

/// Makes a key.
pub(crate) async fn create(
    State(door): State<Arc<Door>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::json(&headers, body, &door.config).await?;
    let NewKey { name, kind, role, expires_at } = reason::parse(&body, "")?;
    let invalid = |pointer: &str, detail: &str| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "access.invalid_body", detail).at(pointer)
    };
    let made = match (kind, role) {
        (Opens::Api, None) => return Err(invalid("/role", "an API key needs a role: reader, writer or admin")),
        (Opens::Write, Some(_)) => return Err(invalid("/role", "a write key has no role")),
        (Opens::Write, None) if expires_at.is_some() => {
            return Err(invalid("/expires_at", "a write key has no end; revoke it"));
        }
        (Opens::Api, Some(role)) => door.oltp.create_api_key_for(&caller.context, &name, role, expires_at).await,
        (Opens::Write, None) => door.oltp.create_write_key(&caller.context, &name).await,
    };
    let (id, secret) = made.map_err(|error| error::of_store(&error, ""))?;
    let answer = Json(MadeKey { id, name, kind, secret });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

/// All keys, without their secrets.
pub(crate) async fn list(State(door): State<Arc<Door>>) -> Result<Response, Problem> {
    let (api, write) = (door.oltp.list_api_keys().await, door.oltp.list_write_keys().await);
    let mut items = Vec::new();
    for (kind, keys) in [(Opens::Api, api), (Opens::Write, write)] {
        let keys = keys.map_err(|error| error::of_store(&error, ""))?;
        items.extend(keys.into_iter().map(|info| Listed { kind, info }));
    }
    Ok(Json(serde_json::json!({ "items": items })).into_response())
}

/// Revokes a key of either kind.
pub(crate) async fn revoke(
    State(door): State<Arc<Door>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| error::path())?;
    let id = Uuid::parse_str(&id).map_err(|_| error::not_found("key"))?;
    let store = |error| error::of_store(&error, "");
    let revoked = door.oltp.revoke_api_key(&caller.context, id).await.map_err(store)?
        || door.oltp.revoke_write_key(&caller.context, id).await.map_err(store)?;
    if revoked {
        Ok(Json(serde_json::json!({ "id": id, "revoked": true })).into_response())
    } else {
        Err(error::not_found("key"))
    }
}
