//! Who calls, as the audit log and idempotency need it: the key's id, the request's id, and what the headers say.

use crate::error;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use oltp::Context;
use runtime::Problem;
use runtime::auth::{PERSONAL, Principal, Role, forbidden};
use runtime::http::RequestId;

/// Longest idempotency key, in characters.
pub(crate) const KEY_MAX: usize = 255;
/// Longest reason, in bytes.
const REASON_MAX: usize = 512;

/// Whoever calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// For the store.
    pub(crate) context: Context,
    /// The key's owner.
    principal: Principal,
}

impl Caller {
    /// Whether it may see and do what is of others.
    pub(crate) fn is_admin(&self) -> bool {
        self.principal.role == Role::Admin
    }

    /// Whether personal values may be shown.
    pub(crate) fn sees_personal(&self) -> bool {
        self.principal.scopes.allow(PERSONAL)
    }

    /// Whether the key may do what a scope names.
    pub(crate) fn may(&self, scope: &str) -> Result<(), Problem> {
        if self.principal.scopes.allow(scope) { Ok(()) } else { Err(forbidden(scope)) }
    }

    /// Whether the key may do what only admins do, and keys that name the scope.
    pub(crate) fn may_by_name(&self, scope: &str) -> Result<(), Problem> {
        let may = self.principal.role == Role::Admin || self.principal.scopes.name(scope);
        if may { self.may(scope) } else { Err(forbidden(scope)) }
    }

    /// The owner, for whoever counts what it does.
    pub(crate) const fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "access.unauthorised", "send `Authorization: Bearer <key>`")
        })?;
        let request_id =
            parts.extensions.get::<RequestId>().map_or_else(|| uuid::Uuid::now_v7().to_string(), |id| id.0.clone());
        let context = Context {
            actor: principal.id.to_string(),
            reason: text(&parts.headers, "x-reason", REASON_MAX, "is UTF-8 text of at most 512 bytes")?,
            request_id,
            idempotency_key: text(&parts.headers, "idempotency-key", KEY_MAX, "has 1 to 255 visible ASCII characters")?,
            if_version: if_match(&parts.headers)?,
        };
        if let Some(key) = &context.idempotency_key {
            check_key(key).map_err(|rule| error::header("idempotency-key", rule))?;
        }
        Ok(Self { context, principal: principal.clone() })
    }
}

/// Checks an idempotency key, from a header or from a line.
pub(crate) fn check_key(key: &str) -> Result<(), &'static str> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=KEY_MAX).contains(&key.len()) && visible { Ok(()) } else { Err("has 1 to 255 visible ASCII characters") }
}

fn text(headers: &HeaderMap, name: &str, most: usize, rule: &str) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| error::header(name, rule))?.trim();
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(error::header(name, rule));
    }
    Ok(Some(text.to_owned()))
}

/// The version that `If-Match` names, as `ETag` gave it.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let rule = "is one ETag of a record, such as \"3\"";
    let mut all = headers.get_all("if-match").iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| all.next().is_none()).map(str::trim);
    let version = text.and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    version.filter(|version| *version > 0).map(Some).ok_or_else(|| error::header("if-match", rule))
}
