//! API keys of the trusted doors and write keys of the gateway. Only SHA-256 hashes are kept; a secret is shown once.

use crate::command::Context;
use crate::error::OltpError;
use crate::pool::{Oltp, Parameters};
use crate::{check, statement};
use model::Timestamp;
use rand::RngCore;
use runtime::auth::{Keys, Principal, Role};
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

/// A key as `list` shows it; the secret is not known any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Id, for `revoke`.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Role; none for write keys.
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is valid, if it has an end.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
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
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
    }
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
    pub async fn create_api_key(
        &self,
        name: &str,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<(Uuid, String), OltpError> {
        let house = Context { actor: "storewide".to_owned(), ..Context::default() };
        self.create_api_key_for(&house, name, role, expires).await
    }

    /// Makes an API key; gives its id and the secret, which is never shown again.
    ///
    /// # Errors
    /// [`OltpError::Invalid`] for a bad name, [`OltpError::Unavailable`] when the server does not answer.
    pub async fn create_api_key_for(
        &self,
        context: &Context,
        name: &str,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<(Uuid, String), OltpError> {
        check::context(context)?;
        check_name(name)?;
        let (id, secret) = (Uuid::now_v7(), secret("swk"));
        let Context { actor, reason, request_id, .. } = context;
        let key: Parameters<'_> = &[&id, &name, &hash(&secret), &role_name(role), &expires, actor, reason, request_id];
        self.query(statement::API_KEY_CREATE, key).await?;
        Ok((id, secret))
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
        let principal = rows.first().and_then(|row| {
            let role: String = row.get("role");
            Some(Principal { id: row.get("id"), name: row.get("name"), role: role.parse().ok()? })
        });
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
        let owner = Some(Principal { id: Uuid::nil(), name: "till".to_owned(), role: Role::Writer });
        let asked = principals.get("hash").unwrap_err();
        principals.forget();
        principals.put("hash".to_owned(), owner.clone(), asked);
        let asked = principals.get("hash").unwrap_err();
        principals.put("hash".to_owned(), owner, asked);
        assert_eq!(principals.get("hash").unwrap().unwrap().name, "till");
    }
}
