//! Commands made ready for the store: checked, tokenised, summed up, with ids for what may be new. Pure but for the ids.

use crate::check;
use crate::command::{Asked, Command, Context, Visitor};
use crate::error::OltpError;
use model::{Timestamp, Tokeniser};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A command ready to be sent.
pub(crate) struct Prepared {
    /// Its place among those that go together.
    pub(crate) index: usize,
    /// Its kind, as the SQL functions are named.
    pub(crate) kind: &'static str,
    /// What it locks: commands of a wave are sent in this order, so that two transactions cannot wait for each other.
    pub(crate) order: String,
    /// Its natural key: twice in a wave would be one too many.
    pub(crate) unique: String,
    /// Its idempotency key with its owner.
    pub(crate) idempotency: Option<String>,
    /// Whether it is to be done to one version of its record only.
    pub(crate) conditional: bool,
    /// Its lines.
    pub(crate) lines: usize,
    /// What the SQL function takes, but for the place.
    pub(crate) json: String,
}

#[derive(Serialize)]
struct Item<'a> {
    c: Who<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_version: Option<i64>,
    id: Uuid,
    b: &'a RawValue,
}

#[derive(Serialize)]
struct Who<'a> {
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    request: &'a str,
}

/// Checks a command and makes it ready.
pub(crate) fn prepare(
    index: usize,
    context: &Context,
    command: &Command,
    tokens: &Tokeniser,
    now: Timestamp,
) -> Result<Prepared, OltpError> {
    check::context(context)?;
    command.ask(Preparation { index, context, command, tokens, now })
}

struct Preparation<'a> {
    index: usize,
    context: &'a Context,
    command: &'a Command,
    tokens: &'a Tokeniser,
    now: Timestamp,
}

impl Visitor<Result<Prepared, OltpError>> for Preparation<'_> {
    fn visit<T: Asked>(self, body: &T) -> Result<Prepared, OltpError> {
        body.check(self.now)?;
        let context = self.context;
        if T::KEYED && context.idempotency_key.is_none() {
            let detail =
                "this is done each time it comes: send an idempotency key, so that a repeat gets the first answer";
            return Err(OltpError::invalid("oltp.idempotency_key_required", "", detail));
        }
        let fault =
            |error: serde_json::Error| OltpError::Internal(format!("a command cannot be written as JSON: {error}"));
        let hash = match context.idempotency_key {
            Some(_) => Some(hex::encode(Sha256::digest(serde_json::to_vec(self.command).map_err(fault)?))),
            None => None,
        };
        let item = Item {
            c: Who { actor: &context.actor, reason: context.reason.as_deref(), request: &context.request_id },
            key: context.idempotency_key.as_deref(),
            hash,
            if_version: context.if_version,
            id: Uuid::now_v7(),
            b: &body.write(self.tokens, self.now)?,
        };
        Ok(Prepared {
            index: self.index,
            kind: body.function(),
            order: body.locks(),
            unique: body.unique(),
            idempotency: context.idempotency_key.as_ref().map(|key| format!("{}\0{key}", context.actor)),
            conditional: context.if_version.is_some(),
            lines: body.lines(),
            json: serde_json::to_string(&item).map_err(fault)?,
        })
    }
}
