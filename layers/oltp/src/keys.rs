//! API keys of the trusted doors and write keys of the gateway. Only SHA-256 hashes are kept; a secret is shown once. A key is found by
//! its hash: whatever the time of the search tells of a hash is no way to a secret of 256 random bits.

use crate::command::Context;
use crate::error::OltpError;
use crate::pool::{Oltp, Parameters};
use crate::{check, statement};
use model::Timestamp;
use rand::RngCore;
use runtime::auth::{Keys, Principal, Rate, Role, Scopes};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use uuid::Uuid;

/// How long an answer about a key is believed: a key revoked elsewhere works at most so long.
const BELIEVED: Duration = Duration::from_secs(5);
/// Most answers kept, so that guessed keys cannot fill the memory.
const KEPT_MAX: usize = 4096;
/// Longest name of a key.
const NAME_MAX: usize = 128;
/// Most scopes of a key.
const SCOPES_MAX: usize = 64;
/// Longest scope, in bytes.
const SCOPE_MAX: usize = 64;
/// Longest time that an old secret works on after a rotation, in seconds: 30 days.
pub const OVERLAP_S_MAX: u32 = 30 * 86_400;
/// Most requests that a key may be allowed in a second.
pub const REQUESTS_PER_S_MAX: u32 = 1_000_000;
/// Most requests that a key may be allowed at once.
pub const BURST_MAX: u32 = 10_000_000;

/// An API key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whom it is for.
    pub name: String,
    /// The most that it may do.
    pub role: Role,
    /// What of that it may do: `area:read`, `area:write` or `*`; all but personal data where none are given.
    pub scopes: Option<Vec<String>>,
    /// Until when it is valid.
    pub expires_at: Option<Timestamp>,
    /// Its own limit.
    pub rate: Option<Rate>,
}

impl NewKey {
    /// A key for all that a role may, but personal data, without an end.
    #[must_use]
    pub fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), role, scopes: None, expires_at: None, rate: None }
    }

    fn check(&self) -> Result<(), OltpError> {
        check_name(&self.name)?;
        if let Some(scopes) = &self.scopes {
            if scopes.is_empty() || scopes.len() > SCOPES_MAX {
                return Err(OltpError::invalid("oltp.invalid_scope", "/scopes", "a key has 1 to 64 scopes"));
            }
            for (i, scope) in scopes.iter().enumerate() {
                check_scope(scope, self.role)
                    .map_err(|rule| OltpError::invalid("oltp.invalid_scope", format!("/scopes/{i}"), rule))?;
            }
        }
        match self.rate {
            Some(Rate { per_s, .. }) if !(1..=REQUESTS_PER_S_MAX).contains(&per_s) => {
                Err(OltpError::invalid("oltp.out_of_range", "/requests_per_s", "1 to 1,000,000 requests in a second"))
            }
            Some(Rate { burst, .. }) if !(1..=BURST_MAX).contains(&burst) => {
                Err(OltpError::invalid("oltp.out_of_range", "/burst", "1 to 10,000,000 requests at once"))
            }
            _ => Ok(()),
        }
    }
}

fn check_scope(scope: &str, role: Role) -> Result<(), &'static str> {
    if scope == "*" {
        return Ok(());
    }
    let (area, action) = scope.split_once(':').unwrap_or((scope, ""));
    let named = !area.is_empty() && area.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-');
    if !named || scope.len() > SCOPE_MAX || !["read", "write"].contains(&action) {
        return Err("a scope is `*`, `<area>:read` or `<area>:write`, such as `orders:write`");
    }
    if action == "write" && role == Role::Reader {
        return Err("a reader's key can have no scope that writes");
    }
    Ok(())
}

/// A key as `list` shows it; the secret is not known any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Id, for `revoke`.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Role; none for write keys.
    pub role: Option<Role>,
    /// What of its role it may do; all but personal data where there are none.
    pub scopes: Option<Vec<String>>,
    /// Requests that it may make in a second in the long run, where it has a limit of its own.
    pub requests_per_s: Option<i32>,
    /// Requests that it may make at once after a rest, where it has a limit of its own.
    pub burst: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid, if it has an end.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When its secret was last changed, if it was.
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before that works.
    pub previous_until: Option<Timestamp>,
    /// When it was last used, within an hour; not known of write keys.
    pub last_used_at: Option<Timestamp>,
}

/// What was last known of the keys that came by.
#[derive(Default)]
pub(crate) struct Principals {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How often all was forgotten.
    generation: u64,
    answers: HashMap<String, (Instant, Option<Principal>)>,
}

impl Principals {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key; else the generation that an answer asked for now is of.
    fn get(&self, hash: &str) -> Result<Option<Principal>, u64> {
        let known = self.lock();
        let answer = known.answers.get(hash).filter(|(at, _)| at.elapsed() < BELIEVED);
        answer.map(|(_, principal)| principal.clone()).ok_or(known.generation)
    }

    /// Keeps an answer, unless a key was revoked since it was asked for: it may be about that one.
    fn put(&self, hash: String, principal: Option<Principal>, generation: u64) {
        let mut known = self.lock();
        if known.generation != generation {
            return;
        }
        if known.answers.len() >= KEPT_MAX {
            known.answers.clear();
        }
        known.answers.insert(hash, (Instant::now(), principal));
    }

    fn forget(&self) {
        let mut known = self.lock();
        known.generation += 1;
        known.answers.clear();
    }
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// 256 bits from the operating system's generator, with a prefix by which secret scanners find it.
fn secret(prefix: &str) -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("{prefix}_{}", hex::encode(bytes))
}

fn check_name(name: &str) -> Result<(), OltpError> {
    if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(OltpError::invalid(
            "oltp.invalid_text",
            "/name",
            "a key's name has 1 to 128 characters, none of them control characters",
        ));
    }
    Ok(())
}

fn info(row: &Row) -> KeyInfo {
    let role: Option<String> = row.get("role");
    KeyInfo {
        id: row.get("id"),
        name: row.get("name"),
        role: role.and_then(|role| role.parse().ok()),
        scopes: row.get("scopes"),
        requests_per_s: row.get("requests_per_s"),
        burst: row.get("burst"),
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        rotated_at: row.get("rotated_at"),
        previous_until: row.get("previous_until"),
        last_used_at: row.get("last_used_at"),
    }
}

fn principal(row: &Row) -> Option<Principal> {
    let role: String = row.get("role");
    let limit = |name: &str| row.get::<_, Option<i32>>(name).and_then(|limit| u32::try_from(limit).ok());
    let rate = limit("requests_per_s").map(|per_s| Rate { per_s, burst: limit("burst").unwrap_or(per_s) });
    let scopes = Scopes::of(row.get("scopes"));
    Some(Principal { id: row.get("id"), name: row.get("name"), role: role.parse().ok()?, scopes, rate })
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Admin => "admin",
    }
}

impl Oltp {
    /// Makes an API key that nobody asked for but the house itself, such as its owner's; as [`Self::create_api_key_for`].
    ///
    /// # Errors
    /// As [`Self::create_api_key_for`].
    pub async fn create_api_key(&self, key: &NewKey) -> Result<(Uuid, String), OltpError> {
        let house = Context { actor: "storewide".to_owned(), ..Context::default() };
        self.create_api_key_for(&house, key).await
    }

    /// Makes an API key; gives its id and the secret, which is never shown again.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a bad name, scope or limit, [`OltpError::Unavailable`] when the server does not answer.
    pub async fn create_api_key_for(&self, context: &Context, key: &NewKey) -> Result<(Uuid, String), OltpError> {
        check::context(context)?;
        key.check()?;
        let (id, secret) = (Uuid::now_v7(), secret("swk"));
        let Context { actor, reason, request_id, .. } = context;
        let limit = |limit: fn(&Rate) -> u32| key.rate.as_ref().and_then(|rate| i32::try_from(limit(rate)).ok());
        let (per_s, burst) = (limit(|rate| rate.per_s), limit(|rate| rate.burst));
        let (hash, role) = (hash(&secret), role_name(key.role));
        let values: Parameters<'_> =
            &[&id, &key.name, &hash, &role, &key.expires_at, &key.scopes, &per_s, &burst, actor, reason, request_id];
        self.query(statement::API_KEY_CREATE, values).await?;
        Ok((id, secret))
    }

    /// Gives an API key a new secret. The old one works on for some seconds, at most [`OVERLAP_S_MAX`], so that its holders can change
    /// over; in other processes five seconds longer. Gives the new secret, which is never shown again, and until when the old one
    /// works; nothing when there is no such key that is valid.
    ///
    /// # Errors
    /// `oltp.out_of_range` for too long an overlap, [`OltpError::Unavailable`] when the server does not answer.
    pub async fn rotate_api_key(
        &self,
        context: &Context,
        id: Uuid,
        overlap_s: u32,
    ) -> Result<Option<(String, Option<Timestamp>)>, OltpError> {
        check::context(context)?;
        if overlap_s > OVERLAP_S_MAX {
            let rule = "the old secret works on for at most 30 days (2,592,000 s)";
            return Err(OltpError::invalid("oltp.out_of_range", "/overlap_s", rule));
        }
        let secret = secret("swk");
        let Context { actor, reason, request_id, .. } = context;
        let values: Parameters<'_> = &[&id, &hash(&secret), &i64::from(overlap_s), actor, reason, request_id];
        let rows = self.query(statement::API_KEY_ROTATE, values).await?;
        self.inner.principals.forget();
        Ok(rows.first().map(|row| (secret, row.get(0))))
    }

    /// All API keys, newest last.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn list_api_keys(&self) -> Result<Vec<KeyInfo>, OltpError> {
        Ok(self.query(statement::API_KEY_LIST, &[]).await?.iter().map(info).collect())
    }

    /// Revokes an API key, at once in this process and within five seconds in others. Says whether there was such a key.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn revoke_api_key(&self, context: &Context, id: Uuid) -> Result<bool, OltpError> {
        check::context(context)?;
        let Context { actor, reason, request_id, .. } = context;
        let rows = self.query(statement::API_KEY_REVOKE, &[&id, actor, reason, request_id]).await?;
        self.inner.principals.forget();
        Ok(!rows.is_empty())
    }

    /// Makes a write key for a source of behaviour events; gives its id and the secret, which is never shown again.
    ///
    /// # Errors
    /// As [`Self::create_api_key_for`].
    pub async fn create_write_key(&self, context: &Context, name: &str) -> Result<(Uuid, String), OltpError> {
        check::context(context)?;
        check_name(name)?;
        let (id, secret) = (Uuid::now_v7(), secret("sww"));
        let Context { actor, reason, request_id, .. } = context;
        self.query(statement::WRITE_KEY_CREATE, &[&id, &name, &hash(&secret), actor, reason, request_id]).await?;
        Ok((id, secret))
    }

    /// All write keys, newest last.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn list_write_keys(&self) -> Result<Vec<KeyInfo>, OltpError> {
        Ok(self.query(statement::WRITE_KEY_LIST, &[]).await?.iter().map(info).collect())
    }

    /// Revokes a write key. Says whether there was such a key.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn revoke_write_key(&self, context: &Context, id: Uuid) -> Result<bool, OltpError> {
        check::context(context)?;
        let Context { actor, reason, request_id, .. } = context;
        Ok(!self.query(statement::WRITE_KEY_REVOKE, &[&id, actor, reason, request_id]).await?.is_empty())
    }

    /// The owner of an API key, if it is valid now; an answer is believed for at most five seconds.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn principal(&self, key: &str) -> Result<Option<Principal>, OltpError> {
        let hash = hash(key);
        let generation = match self.inner.principals.get(&hash) {
            Ok(known) => return Ok(known),
            Err(generation) => generation,
        };
        let rows = self.query(statement::API_KEY_PRINCIPAL, &[&hash]).await?;
        let principal = rows.first().and_then(principal);
        self.inner.principals.put(hash, principal.clone(), generation);
        Ok(principal)
    }
}

#[async_trait::async_trait]
impl Keys for Oltp {
    async fn principal(&self, key: &str) -> Result<Option<Principal>, String> {
        Self::principal(self, key).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_revocation_is_not_kept() {
        let principals = Principals::default();
        let owner = Some(Principal::new(Uuid::nil(), "till", Role::Writer));
        let asked = principals.get("hash").unwrap_err();
        principals.forget();
        principals.put("hash".to_owned(), owner.clone(), asked);
        let asked = principals.get("hash").unwrap_err();
        principals.put("hash".to_owned(), owner, asked);
        assert_eq!(principals.get("hash").unwrap().unwrap().name, "till");
    }

    #[test]
    fn scopes_are_words_that_the_role_may_have() {
        for scope in ["*", "orders:read", "pii:read", "inventory-levels:read"] {
            assert!(check_scope(scope, Role::Reader).is_ok(), "{scope}");
        }
        for scope in
            ["", "orders", "orders:", ":read", "orders:delete", "Orders:read", "orders:read ", "*:read", "a:b:read"]
        {
            assert!(check_scope(scope, Role::Admin).is_err(), "{scope}");
        }
        assert!(
            check_scope("orders:write", Role::Reader).is_err() && check_scope("orders:write", Role::Writer).is_ok()
        );
    }
}
