//! API keys of this listener and write keys of the gateway: made, listed and revoked by administrators.

use crate::caller::Caller;
use crate::http::Door;
use crate::{body, error, reason, scope};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use oltp::KeyInfo;
use runtime::Problem;
use runtime::auth::{Rate, Role};
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
    /// What of its role the key may do, such as `orders:write`; all but to see personal data (`pii:read`) when absent, and `*` for
    /// all. For API keys only.
    #[schema(example = json!(["orders:write", "members:read"]), min_items = 1, max_items = 64)]
    scopes: Option<Vec<String>>,
    /// Requests that it may make in a second in the long run; the configuration's limit when absent. For API keys only.
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_s: Option<u32>,
    /// Requests that it may make at once after a rest; those of a second when absent. Only with `requests_per_s`.
    #[schema(minimum = 1, maximum = 10_000_000)]
    burst: Option<u32>,
}

/// How to change a key's secret.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Seconds for which the old secret works on, so that the key's holders can change over; none when absent.
    #[schema(minimum = 0, maximum = 2_592_000, example = 86400)]
    overlap_s: u32,
}

/// A key with its new secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RotatedKey {
    /// Id of the key, as before.
    id: Uuid,
    /// The new secret. It is shown this once and not kept.
    secret: String,
    /// Until when the old secret works.
    #[schema(value_type = Option<String>, format = "date-time")]
    previous_until: Option<Timestamp>,
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

fn invalid(pointer: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "access.invalid_body", detail).at(pointer)
}

impl NewKey {
    /// The API key that is asked for.
    fn api(self) -> Result<oltp::NewKey, Problem> {
        let role = self.role.ok_or_else(|| invalid("/role", "an API key needs a role: reader, writer or admin"))?;
        let known = scope::all();
        let unknown = |scope: &String| scope != "*" && !known.contains(scope);
        if let Some(i) = self.scopes.iter().flatten().position(unknown) {
            let all = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(invalid(&format!("/scopes/{i}"), &format!("there is no such scope; there are *, {all}")));
        }
        let rate = match (self.requests_per_s, self.burst) {
            (Some(per_s), burst) => Some(Rate { per_s, burst: burst.unwrap_or(per_s) }),
            (None, Some(_)) => return Err(invalid("/burst", "a burst needs requests_per_s, too")),
            (None, None) => None,
        };
        Ok(oltp::NewKey { name: self.name, role, scopes: self.scopes, expires_at: self.expires_at, rate })
    }

    /// Checks that nothing is asked of a write key that it cannot have.
    fn write(&self) -> Result<(), Problem> {
        let refused = [
            (self.role.is_some(), "/role", "a write key has no role"),
            (self.expires_at.is_some(), "/expires_at", "a write key has no end; revoke it"),
            (self.scopes.is_some(), "/scopes", "a write key has no scopes"),
            (self.requests_per_s.is_some(), "/requests_per_s", "a write key has no limit of its own"),
            (self.burst.is_some(), "/burst", "a write key has no limit of its own"),
        ];
        refused.into_iter().find(|(given, ..)| *given).map_or(Ok(()), |(_, place, why)| Err(invalid(place, why)))
    }
}

/// Makes a key.
pub(crate) async fn create(
    State(door): State<Arc<Door>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::json(&headers, body, &door.config).await?;
    let asked: NewKey = reason::parse(&body, "")?;
    let (name, kind) = (asked.name.clone(), asked.kind);
    let made = match kind {
        Opens::Api => door.oltp.create_api_key_for(&caller.context, &asked.api()?).await,
        Opens::Write => {
            asked.write()?;
            door.oltp.create_write_key(&caller.context, &name).await
        }
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

/// Gives an API key a new secret.
pub(crate) async fn rotate(
    State(door): State<Arc<Door>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| error::path())?;
    let body = body::json(&headers, body, &door.config).await?;
    let Rotation { overlap_s } = reason::parse(&body, "")?;
    let id = Uuid::parse_str(&id).map_err(|_| error::not_found("key"))?;
    let rotated = door.oltp.rotate_api_key(&caller.context, id, overlap_s).await;
    let rotated = rotated.map_err(|error| error::of_store(&error, ""))?;
    let (secret, previous_until) = rotated.ok_or_else(|| error::not_found("valid API key"))?;
    let answer = Json(RotatedKey { id, secret, previous_until });
    Ok(([(header::CACHE_CONTROL, "no-store")], answer).into_response())
}
