//! API keys at the trusted doors: who calls, and what they may do.

use crate::Problem;
use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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

/// What of its role a key may do: `orders:write`, `members:read`. None stands for all but personal data, `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Option<Arc<[String]>>);

/// The scope that shows personal data. No role has it by itself.
pub const PERSONAL: &str = "pii:read";

impl Scopes {
    /// These and no others; all but personal data where none are given.
    #[must_use]
    pub fn of(scopes: Option<Vec<String>>) -> Self {
        Self(scopes.map(Into::into))
    }

    /// All that the role may, and personal data.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Some(vec!["*".to_owned()]))
    }

    /// Whether the key may do what a scope names.
    #[must_use]
    pub fn allow(&self, scope: &str) -> bool {
        match &self.0 {
            None => scope != PERSONAL,
            Some(scopes) => scopes.iter().any(|held| held == "*" || held == scope),
        }
    }

    /// Whether a scope is among them by its own name.
    #[must_use]
    pub fn name(&self, scope: &str) -> bool {
        self.0.as_ref().is_some_and(|scopes| scopes.iter().any(|held| held == scope))
    }
}

/// How often a key may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in a second, in the long run; at least 1.
    pub per_s: u32,
    /// Requests at once after a rest; at least 1.
    pub burst: u32,
}

/// Whoever calls.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Id of the key: who acted, for the audit log and for idempotency; names may come twice.
    pub id: Uuid,
    /// Name of the key, for people.
    pub name: String,
    /// The most that it may do.
    pub role: Role,
    /// What of that it may do.
    pub scopes: Scopes,
    /// How often it may ask, where it has a limit of its own.
    pub rate: Option<Rate>,
}

impl Principal {
    /// A key that may do all that its role may, but see no personal data.
    #[must_use]
    pub fn new(id: Uuid, name: &str, role: Role) -> Self {
        Self { id, name: name.to_owned(), role, scopes: Scopes::default(), rate: None }
    }
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

/// The layer that lets a request pass if its key has a role and a scope. Use with `axum::middleware::from_fn_with_state`.
#[derive(Clone)]
pub struct Guard {
    /// Whoever knows the keys.
    pub keys: Arc<dyn Keys>,
    /// The least role that passes.
    pub role: Role,
    /// The scope that a key with scopes must have; empty where the door checks what is asked for by itself.
    pub scope: Cow<'static, str>,
}

/// The answer to a key that may not do what it asks.
#[must_use]
pub fn forbidden(scope: &str) -> Problem {
    let detail = format!("the key does not have the scope `{scope}`; ask for a key that has it");
    Problem::new(StatusCode::FORBIDDEN, "access.forbidden", detail)
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
    if !guard.scope.is_empty() && !principal.scopes.allow(&guard.scope) {
        return Err(forbidden(&guard.scope));
    }
    Ok(principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_are_nobodys_by_default() {
        let listed = |scopes: &[&str]| Scopes::of(Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()));
        assert!(Scopes::default().allow("orders:write") && !Scopes::default().allow(PERSONAL));
        assert!(Scopes::all().allow("orders:write") && Scopes::all().allow(PERSONAL));
        assert!(!Scopes::all().name("audit:read") && listed(&["audit:read"]).name("audit:read"));
        let till = listed(&["orders:write", "members:read"]);
        for (scope, may) in [("orders:write", true), ("orders:read", false), ("members:read", true), (PERSONAL, false)]
        {
            assert_eq!(till.allow(scope), may, "{scope}");
        }
        assert!(!listed(&[]).allow("orders:read"));
    }
}
