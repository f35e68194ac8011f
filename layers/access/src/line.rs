//! One line of a batch, of an import, or of what a mapping gives: which kind of command it is, and the command.

use crate::caller::check_key;
use crate::kind;
use crate::reason::parse;
use axum::http::StatusCode;
use oltp::Command;
use oltp::command::Kind;
use runtime::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

/// A line of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchLine {
    /// store, product, sku, member, order, return or any other kind: the names of the schemas of their bodies tell.
    #[serde(rename = "type")]
    #[schema(example = "order")]
    noun: String,
    /// The record, as its own path takes it.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
    /// Key of this line: a repeat gets the first answer. Without it the batch's `Idempotency-Key` and the line's number make one.
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// What a line asks for.
pub(crate) struct Asked {
    pub(crate) kind: &'static Kind,
    pub(crate) command: Command,
    /// Its own idempotency key, if it brings one.
    pub(crate) key: Option<String>,
}

/// The kind that a line is of, if it can be told without its body.
pub(crate) fn kind(text: &[u8]) -> Option<&'static Kind> {
    #[derive(Deserialize)]
    struct Type<'a> {
        #[serde(rename = "type", borrow)]
        noun: Cow<'a, str>,
    }
    Kind::named(&serde_json::from_slice::<Type<'_>>(text).ok()?.noun)
}

/// Reads a line.
pub(crate) fn read(text: &[u8]) -> Result<Asked, Problem> {
    let line: BatchLine = parse(text, "")?;
    let refuse = |pointer: &str, detail: &str| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "access.invalid_body", detail).at(pointer)
    };
    let kind =
        Kind::named(&line.noun).ok_or_else(|| refuse("/type", &format!("the type is one of {}", kind::names())))?;
    if let Some(key) = &line.idempotency_key {
        check_key(key).map_err(|rule| refuse("/idempotency_key", &format!("an idempotency key {rule}")))?;
    }
    let command = kind::command(kind, line.body.get().as_bytes(), "/body")?;
    Ok(Asked { kind, command, key: line.idempotency_key })
}
