//! From an event as sent to a canonical one, or to the reason why not. Pure: no I/O, no clock.

use crate::occurrence::{self, Bad};
use crate::privacy::{Cleaner, DEPTH_MAX, NODES_MAX, Part, Shape, mask};
use crate::wire::{Call, Incoming};
use crate::{Config, naming};
use contract::events::Registry;
use model::behaviour::{BehaviourEvent, EventType, name};
use model::{Timestamp, Tokeniser};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Longest message id, characters; Segment's limit.
const MESSAGE_ID_CHARS_MAX: usize = 100;
/// Longest id of a visitor or group, bytes.
const ID_BYTES_MAX: usize = 320;
/// Longest event name, characters.
const NAME_CHARS_MAX: usize = 200;

/// How a request came in: what its events share.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// The call that brought them.
    pub call: Call,
    /// When the SDK sent the batch, as sent.
    pub sent_at: Option<&'a Value>,
    /// Context of all events of the batch.
    pub context: Option<&'a Value>,
    /// When the gateway received them.
    pub received: Timestamp,
    /// The source, by the name of its write key.
    pub source: &'a str,
    /// Makes an id for an event that has none. Repeats of such an event cannot be told from new ones.
    pub new_id: fn() -> String,
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, and where; never holds a value of the event.
    pub reason: String,
    /// Version of the contract that refused it; 0 for the envelope's own rules.
    pub contract_version: u32,
    /// Key for the quarantine, where the event has one.
    pub key: Option<String>,
}

impl Rejection {
    fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), contract_version: 0, key: None }
    }

    /// An event within the limit that is too large for the bus in canonical form.
    pub(crate) fn grown(key: Option<String>) -> Self {
        let reason = "in canonical form the event does not fit into a record of the bus";
        Self { key, ..Self::new("gateway.event_too_large", reason) }
    }
}

/// The ids of an event.
#[derive(Default)]
struct Ids {
    anonymous: Option<String>,
    user: Option<String>,
    previous: Option<String>,
    group: Option<String>,
}

/// Turns events as sent into canonical ones.
#[derive(Clone, Debug)]
pub struct Canonicaliser {
    config: Config,
    tokeniser: Tokeniser,
    contracts: Arc<Registry>,
}

impl Canonicaliser {
    /// A canonicaliser by these limits, tokens and contracts.
    #[must_use]
    pub const fn new(config: Config, tokeniser: Tokeniser, contracts: Arc<Registry>) -> Self {
        Self { config, tokeniser, contracts }
    }

    /// Canonicalises one event: JSON as sent.
    ///
    /// # Errors
    /// When the envelope or the event's contract refuses it.
    pub fn event(&self, raw: &str, receipt: &Receipt<'_>) -> Result<BehaviourEvent, Box<Rejection>> {
        let mut ids = Ids::default();
        self.build(raw, receipt, &mut ids).map_err(|mut rejection| {
            rejection.key = ids.anonymous.take().or(ids.user.take());
            Box::new(rejection)
        })
    }

    fn build(&self, raw: &str, receipt: &Receipt<'_>, ids: &mut Ids) -> Result<BehaviourEvent, Rejection> {
        let mut sent = self.read(raw)?;
        let kind = kind(receipt.call, sent.kind.as_ref())?;
        let mut cleaner = Cleaner::new(&self.tokeniser, self.config.ip);
        *ids = read_ids(&mut sent, &mut cleaner)?;
        require(kind, ids)?;
        let mut enrichment = Map::new();
        let message_id = match message_id(sent.message_id.take())? {
            Some(id) => cleaner.opaque(id),
            None => {
                enrichment.insert("message_id".to_owned(), Value::from("gateway"));
                (receipt.new_id)()
            }
        };
        let name = self.name(kind, sent.event.take())?;
        let occurred_at = occurred(&sent, receipt)?;
        let mut context = object(sent.context.take(), "/context")?;
        share(&mut context, receipt.context);
        cleaner.clean(Part::Context, &mut context).map_err(|shape| misshapen(shape, "/context"))?;
        let consent = context.shift_remove("consent");
        let (part, pointer) = match kind {
            EventType::Identify | EventType::Group => (Part::Traits, "/traits"),
            _ => (Part::Properties, "/properties"),
        };
        let mut properties = properties(kind, &mut sent, pointer)?;
        cleaner.clean(part, &mut properties).map_err(|shape| misshapen(shape, pointer))?;
        if let Some(group) = ids.group.take() {
            properties.insert("group_id".to_owned(), Value::String(group));
        }
        let (properties, contract_version) = self.check(&name, properties, pointer)?;
        if cleaner.unusable > 0 {
            enrichment.insert("unusable_identities".to_owned(), Value::from(cleaner.unusable));
        }
        Ok(BehaviourEvent {
            message_id,
            name,
            kind,
            anonymous_id: ids.anonymous.take(),
            user_id: ids.user.take(),
            previous_id: ids.previous.take(),
            identities: cleaner.identities,
            occurred_at,
            received_at: receipt.received,
            context,
            properties,
            consent,
            enrichment,
            source: receipt.source.to_owned(),
            contract_version,
        })
    }

    fn read(&self, raw: &str) -> Result<Incoming, Rejection> {
        if raw.len() > self.config.event_bytes_max {
            let reason = format!("the event has {} bytes; the limit is {}", raw.len(), self.config.event_bytes_max);
            return Err(Rejection::new("gateway.event_too_large", reason));
        }
        if !raw.trim_start().starts_with('{') {
            return Err(Rejection::new("gateway.event_form", "an event is a JSON object"));
        }
        // Every field is a loose value, so what serde says here holds names of fields and no values.
        serde_json::from_str(raw).map_err(|error| Rejection::new("gateway.event_form", error.to_string()))
    }

    fn name(&self, kind: EventType, event: Option<Value>) -> Result<String, Rejection> {
        let fixed = match kind {
            EventType::Track => None,
            EventType::Page | EventType::Screen => Some(name::PAGE_VIEW),
            EventType::Identify => Some(name::IDENTIFY),
            EventType::Group => Some("group"),
            EventType::Alias => Some(name::ALIAS),
        };
        if let Some(fixed) = fixed {
            return Ok(fixed.to_owned());
        }
        let bad = |reason: &str| Err(Rejection::new("gateway.event_name", format!("/event: {reason}")));
        let Some(Value::String(event)) = event else { return bad("a track call names its event, as text") };
        if event.chars().count() > NAME_CHARS_MAX {
            return bad("a name has at most 200 characters");
        }
        let name = naming::snake_case(mask(&event).as_deref().unwrap_or(&event));
        if name.is_empty() {
            return bad("a name has a letter or a digit");
        }
        Ok(self.contracts.get(&name).map_or(name, |contract| contract.name.clone()))
    }

    fn check(
        &self,
        name: &str,
        properties: Map<String, Value>,
        pointer: &str,
    ) -> Result<(Map<String, Value>, u32), Rejection> {
        let Some(contract) = self.contracts.get(name) else { return Ok((properties, 0)) };
        let value = Value::Object(properties);
        if let Err(violation) = contract.check(&value) {
            let reason =
                format!("{pointer}{}: {} (contract {name} {})", violation.pointer, violation.reason, contract.version);
            let contract_version = contract.version;
            return Err(Rejection { contract_version, ..Rejection::new("gateway.contract", reason) });
        }
        match value {
            Value::Object(properties) => Ok((properties, contract.version)),
            _ => Ok((Map::new(), contract.version)),
        }
    }
}

fn kind(call: Call, sent: Option<&Value>) -> Result<EventType, Rejection> {
    if let Call::One(kind) = call {
        return Ok(kind);
    }
    Ok(match sent.and_then(Value::as_str) {
        Some("track") => EventType::Track,
        Some("page") => EventType::Page,
        Some("screen") => EventType::Screen,
        Some("identify") => EventType::Identify,
        Some("group") => EventType::Group,
        Some("alias") => EventType::Alias,
        _ => {
            let reason = "/type: one of track, page, screen, identify, group, alias";
            return Err(Rejection::new("gateway.event_type", reason));
        }
    })
}

/// An id: text, or a number as text; nothing where it is absent, null or empty.
fn id(value: Option<Value>, pointer: &str) -> Result<Option<String>, Rejection> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Rejection::new("gateway.id", format!("{pointer}: an id is text or a number"))),
    };
    if text.len() > ID_BYTES_MAX || text.chars().any(char::is_control) {
        let reason = format!("{pointer}: an id has at most {ID_BYTES_MAX} bytes and no control characters");
        return Err(Rejection::new("gateway.id", reason));
    }
    let trimmed = text.trim();
    Ok(match trimmed.len() {
        0 => None,
        length if length == text.len() => Some(text),
        _ => Some(trimmed.to_owned()),
    })
}

fn read_ids(sent: &mut Incoming, cleaner: &mut Cleaner<'_>) -> Result<Ids, Rejection> {
    Ok(Ids {
        anonymous: id(sent.anonymous_id.take(), "/anonymousId")?.map(|it| cleaner.id(it)),
        user: id(sent.user_id.take(), "/userId")?.map(|it| cleaner.id(it)),
        previous: id(sent.previous_id.take(), "/previousId")?.map(|it| cleaner.id(it)),
        group: id(sent.group_id.take(), "/groupId")?.map(|it| cleaner.opaque(it)),
    })
}

fn require(kind: EventType, ids: &Ids) -> Result<(), Rejection> {
    let missing = |reason: &str| Err(Rejection::new("gateway.id_missing", reason));
    if ids.anonymous.is_none() && ids.user.is_none() {
        return missing("an event has an anonymousId or a userId");
    }
    match kind {
        EventType::Alias if ids.previous.is_none() || ids.user.is_none() => {
            missing("an alias has a previousId and a userId")
        }
        EventType::Group if ids.group.is_none() => missing("a group call has a groupId"),
        _ => Ok(()),
    }
}

fn message_id(value: Option<Value>) -> Result<Option<String>, Rejection> {
    let id = id(value, "/messageId")?;
    match id {
        Some(id) if id.chars().count() > MESSAGE_ID_CHARS_MAX => {
            Err(Rejection::new("gateway.message_id", "/messageId: it has more than 100 characters"))
        }
        other => Ok(other),
    }
}

fn occurred(sent: &Incoming, receipt: &Receipt<'_>) -> Result<Timestamp, Rejection> {
    let given = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let said = given(sent.original_timestamp.as_ref()).or_else(|| given(sent.timestamp.as_ref()));
    let sent_at = given(sent.sent_at.as_ref()).or_else(|| given(receipt.sent_at));
    occurrence::occurred(said.as_ref(), sent_at.as_ref(), receipt.received).map_err(|bad| match bad {
        Bad::Unreadable => Rejection::new("gateway.timestamp", "/timestamp: it is no ISO 8601 time"),
        Bad::Future => {
            Rejection::new("gateway.timestamp_future", "/timestamp: it lies more than an hour in the future")
        }
        Bad::Past => Rejection::new("gateway.timestamp_past", "/timestamp: it lies before the year 2000"),
    })
}

fn object(value: Option<Value>, pointer: &str) -> Result<Map<String, Value>, Rejection> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(Rejection::new("gateway.event_form", format!("{pointer}: it is an object"))),
    }
}

/// What the event is about: properties or traits; a page's own name and category stand among them.
fn properties(kind: EventType, sent: &mut Incoming, pointer: &str) -> Result<Map<String, Value>, Rejection> {
    let value = if pointer == "/traits" { sent.traits.take() } else { sent.properties.take() };
    let mut map = object(value, pointer)?;
    if matches!(kind, EventType::Page | EventType::Screen) {
        for (key, value) in [("name", sent.name.take()), ("category", sent.category.take())] {
            if let Some(value @ Value::String(_)) = value {
                map.entry(key).or_insert(value);
            }
        }
    }
    Ok(map)
}

/// Adds the batch's context where the event has none of its own.
fn share(context: &mut Map<String, Value>, shared: Option<&Value>) {
    if let Some(Value::Object(shared)) = shared {
        for (key, value) in shared {
            if !context.contains_key(key) {
                context.insert(key.clone(), value.clone());
            }
        }
    }
}

fn misshapen(shape: Shape, pointer: &str) -> Rejection {
    match shape {
        Shape::TooDeep => {
            Rejection::new("gateway.too_deep", format!("{pointer}: it nests deeper than {DEPTH_MAX} levels"))
        }
        Shape::TooMany => {
            Rejection::new("gateway.too_many_fields", format!("{pointer}: the event has more than {NODES_MAX} parts"))
        }
    }
}

#[cfg(test)]
mod tests;
