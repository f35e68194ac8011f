//! Deliveries read by the programs of a contract: which one it is, what it is about, which commands it makes.

use super::{Arrival, Kept, MapFault, Mapped, Raw, kept_headers};
use bytes::Bytes;
use contract::program::{Budget, Input, Limits, Program, RunError, evaluate};
use contract::sources::{DeliveryId, SourceContract};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Longest id of a delivery and key of what it is about, and longest kind, in characters.
const ID_MAX: usize = 256;
const KIND_MAX: usize = 128;

/// A contract, and what its programs may take.
pub(super) struct Reading {
    pub(super) contract: Arc<SourceContract>,
    limits: Limits,
}

/// What the first programs say of a delivery.
#[derive(Default)]
struct Told {
    id: Option<String>,
    kind: Option<String>,
    entity_key: Option<String>,
}

impl Reading {
    pub(super) fn new(contract: SourceContract, limits: Limits) -> Self {
        Self { contract: Arc::new(contract), limits }
    }

    /// Which delivery it is. What the programs cannot say is left open: the delivery is theirs, and is kept in any case.
    pub(super) fn arrival(&self, raw: &Raw<'_>, id: Option<&str>) -> Arrival {
        let contract = Arc::clone(&self.contract);
        let headers = Value::Object(kept_headers(&contract, raw.headers));
        let delivery = about(raw.account, id, raw.at, &headers);
        let body = raw.body.clone();
        let told = evaluate(self.limits, move |budget| {
            let delivery = Input::read(delivery.to_string().as_bytes(), budget)?;
            let input = Input::read(&body, budget)?;
            let text = |program: Option<&Program>| {
                program.and_then(|program| program.text(&input, &delivery, budget).ok().flatten())
            };
            let id = match &contract.delivery_id {
                DeliveryId::Body(program) => text(Some(program)),
                DeliveryId::Header(_) | DeliveryId::Digest => None,
            };
            let (kind, entity_key) = (text(contract.kind.as_ref()), text(contract.entity_key.as_ref()));
            Ok(Told { id, kind, entity_key })
        });
        let told = told.unwrap_or_default();
        let id = id.map(str::to_owned).or(told.id).filter(|id| !id.is_empty());
        Arrival {
            // Equal bodies without an id are one delivery.
            delivery_id: id.map_or_else(|| digest(raw.body), short),
            kind: told.kind.filter(|kind| is_kind(kind)),
            entity_key: told.entity_key.map(short).unwrap_or_default(),
        }
    }

    /// The commands that the mapping of its kind makes of a delivery.
    pub(super) fn map(&self, delivery: &Kept<'_>) -> Result<Mapped, MapFault> {
        let contract = Arc::clone(&self.contract);
        let about = about(delivery.account, Some(delivery.delivery_id), delivery.received_at, delivery.headers);
        let body: Bytes = delivery.body.clone();
        let mapped = evaluate(self.limits, move |budget| Ok(run(&contract, about, &body, budget)));
        mapped.unwrap_or_else(|error| Err(fault(&error, None)))
    }
}

/// What programs read as `$delivery`.
fn about(account: &str, id: Option<&str>, at: model::Timestamp, headers: &Value) -> Value {
    json!({ "account": account, "id": id, "received_at": at.to_string(), "headers": headers })
}

fn run(contract: &SourceContract, mut about: Value, body: &[u8], budget: &Budget) -> Result<Mapped, MapFault> {
    let read = |bytes: &[u8]| Input::read(bytes, budget).map_err(|error| fault(&error, None));
    let input = read(body)?;
    let delivery = read(about.to_string().as_bytes())?;
    let unknown = |reason: String| MapFault { code: "access.unknown_kind", reason, kind: None };
    let Some(program) = &contract.kind else {
        return Err(unknown("the contract has no program for the kind".to_owned()));
    };
    let kind = program.text(&input, &delivery, budget).map_err(|error| unknown(format!("kind: {error}")))?;
    let kind =
        kind.filter(|kind| is_kind(kind)).ok_or_else(|| unknown("the delivery does not say what it is".to_owned()))?;
    if contract.ignore.contains(&kind) {
        return Ok(Mapped { kind: Some(kind), lines: Vec::new() });
    }
    let Some(mapping) = contract.mappings.get(&kind) else {
        let reason = "the contract has no mapping for this kind; add one, or name the kind under `ignore`";
        return Err(MapFault { code: "access.unknown_kind", reason: reason.to_owned(), kind: Some(kind) });
    };
    about["kind"] = json!(kind);
    let delivery = read(about.to_string().as_bytes())?;
    match mapping.run(&input, &delivery, budget).and_then(lines) {
        Ok(lines) => Ok(Mapped { kind: Some(kind), lines }),
        Err(error) => Err(fault(&error, Some(kind))),
    }
}

/// A mapping may give lines, or lists of lines.
fn lines(outputs: Vec<String>) -> Result<Vec<String>, RunError> {
    let mut lines = Vec::with_capacity(outputs.len());
    for output in outputs {
        if output.starts_with('[') {
            let list: Vec<Box<serde_json::value::RawValue>> =
                serde_json::from_str(&output).map_err(|_| RunError::Failed("it gives what is no JSON".to_owned()))?;
            lines.extend(list.into_iter().map(|line| line.get().to_owned()));
        } else {
            lines.push(output);
        }
    }
    Ok(lines)
}

fn fault(error: &RunError, kind: Option<String>) -> MapFault {
    let code = match error {
        RunError::Payload(_) => "access.unreadable",
        RunError::Failed(_) => "access.mapping_failed",
        RunError::Limit(_) => "access.mapping_limit",
    };
    MapFault { code, reason: error.to_string(), kind }
}

fn is_kind(kind: &str) -> bool {
    (1..=KIND_MAX).contains(&kind.chars().count()) && !kind.chars().any(char::is_control)
}

/// A text as it is kept as an id: itself, or its digest where it is longer or holds what the store does not take.
fn short(text: String) -> String {
    let fits = text.chars().count() <= ID_MAX && !text.chars().any(char::is_control);
    if fits { text } else { digest(text.as_bytes()) }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
