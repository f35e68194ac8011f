//! API keys at the trusted doors: who calls, and what they may do.

use crate::Problem;
use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// What a key may do; each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read records, profiles and answers.
    Reader,
    /// Write business facts.
    Writer,
    /// Make and revoke keys, audit, operate.
    Admin,
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reader" => Ok(Self::Reader),
            "writer" => Ok(Self::Writer),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("`{text}` is not a role; the roles are reader, writer, admin")),
        }
    }
}

/// Whoever calls.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Id of the key: who acted, for the audit log and for idempotency; names may come twice.
    pub id: Uuid,
    /// Name of the key, for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Whoever knows the keys.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// The owner of a key, if it is valid now.
    ///
    /// # Errors
    /// When the keys cannot be read now.
    async fn principal(&self, key: &str) -> Result<Option<Principal>, String>;
}

/// The layer that lets a request pass if its key has a role. Use with `axum::middleware::from_fn_with_state`.
#[derive(Clone)]
pub struct Guard {
    /// Whoever knows the keys.
    pub keys: Arc<dyn Keys>,
    /// The least role that passes.
    pub role: Role,
}

/// Checks `Authorization: Bearer <key>` and puts the [`Principal`] into the request's extensions.
pub async fn require(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match check(&guard, request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn check(guard: &Guard, headers: &HeaderMap) -> Result<Principal, Problem> {
    let unauthorised = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "access.unauthorised", detail);
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthorised("send `Authorization: Bearer <key>`; `storewide keys create` makes one"))?;
    let key = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
    let key = key.filter(|key| !key.is_empty() && key.len() <= 256);
    let key = key.ok_or_else(|| unauthorised("the Authorization header is not `Bearer <key>`"))?;
    let principal = guard.keys.principal(key).await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "access.keys_unavailable", "keys cannot be checked now; retry")
            .after(1)
    })?;
    let principal = principal.ok_or_else(|| unauthorised("the key is unknown, expired or revoked"))?;
    if principal.role < guard.role {
        let detail = "the key's role may not do this; ask for a key with a higher role";
        return Err(Problem::new(StatusCode::FORBIDDEN, "access.forbidden", detail));
    }
    Ok(principal)
}
