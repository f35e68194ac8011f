//! Records to row changes: the one mapping behind profiles and analytics. Pure.

use crate::batch::{Row, RowChange, RowOp, Version};
use crate::tables::{self, TABLES, Table};
use crate::value::{Kind, Value};
use bus::Record;
use model::derived::{Cohorts, Features, Intent, Link, Session, Tag, Tags};
use model::signal::{Body, Signal};
use model::{BehaviourEvent, Op, Timestamp, topic};
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use std::borrow::Cow;

/// What a record says to serving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// The row change, if it changes a row.
    pub op: Option<RowOp>,
    /// When the newest signal in it was received, microseconds since 1970 UTC: freshness is measured from here.
    pub received_at: Option<i64>,
}

/// A record that fits no table. It stays on the bus; serving goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("{at}@{offset} fits no row of {table}: {reason}")]
pub struct MappingError {
    at: String,
    offset: i64,
    table: &'static str,
    reason: String,
}

/// Reads a record.
///
/// # Errors
/// When it is not what its topic promises.
pub fn map(record: &Record) -> Result<Mapped, MappingError> {
    let Some(number) = tables::of_topic(&record.at.topic) else { return Ok(Mapped::default()) };
    let Some(table) = TABLES.get(number) else { return Ok(Mapped::default()) };
    let mapped = if table.store.is_some() { change(record, number, table) } else { derived(record, number, table) };
    mapped.map_err(|reason| MappingError {
        at: record.at.to_string(),
        offset: record.offset,
        table: table.name,
        reason,
    })
}

/// Capture's envelope, with the row images unread.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    #[serde(default)]
    unchanged: Vec<String>,
    op: Op,
    source: Place,
}

#[derive(Deserialize)]
struct Place {
    lsn: u64,
    seq: u64,
}

fn change(record: &Record, number: usize, table: &'static Table) -> Result<Mapped, String> {
    // A tombstone follows a delete that has been read already.
    let Some(value) = &record.value else { return Ok(Mapped::default()) };
    let envelope: Envelope<'_> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let signed = |number: u64| i64::try_from(number).map_err(|_| "the version is out of range".to_owned());
    let version = (signed(envelope.source.lsn)?, signed(envelope.source.seq)?);
    let (key, change) = match envelope.op {
        Op::Truncate => (Vec::new(), RowChange::Truncate),
        Op::Delete => {
            let before = envelope.before.ok_or("a delete without the row before")?;
            (key_of(table, &image(table, before)?)?, RowChange::Put { rows: Vec::new(), created: false })
        }
        Op::Create | Op::Update | Op::Read => {
            let mut row = image(table, envelope.after.ok_or("no row after")?)?;
            if !envelope.unchanged.is_empty() {
                fill(table, &mut row, &envelope)?;
            }
            let key = key_of(table, &row)?;
            (key, RowChange::Put { rows: vec![row], created: envelope.op == Op::Create })
        }
    };
    Ok(Mapped { op: Some(RowOp { table: number, key, version, change }), received_at: None })
}

/// Large columns that were not sent: from the row before where it holds them, else as the served row has them.
fn fill(table: &Table, row: &mut Row, envelope: &Envelope<'_>) -> Result<(), String> {
    let mut before = envelope.before.map(|before| image(table, before)).transpose()?;
    for name in &envelope.unchanged {
        let Some(place) = table.column(name) else { continue };
        let known = before.as_mut().and_then(|before| before.get_mut(place)).map(std::mem::take);
        if let Some(value) = row.get_mut(place) {
            *value = known.filter(|value| *value != Value::Null).unwrap_or(Value::Unchanged);
        }
    }
    Ok(())
}

fn key_of(table: &Table, row: &Row) -> Result<Vec<Value>, String> {
    let key: Vec<Value> = row.iter().take(table.key).cloned().collect();
    if key.iter().any(|value| matches!(value, Value::Null | Value::Unchanged)) {
        return Err("a part of the key is missing".to_owned());
    }
    Ok(key)
}

fn image(table: &Table, raw: &RawValue) -> Result<Row, String> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    Image(table).deserialize(&mut json).map_err(|error| error.to_string())
}

/// Reads a row image straight into the table's order of columns; columns that serving does not know are skipped.
struct Image<'t>(&'t Table);

impl<'de> DeserializeSeed<'de> for Image<'_> {
    type Value = Row;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Image<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a row of {}", self.0.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let columns = self.0.columns;
        let mut row = vec![Value::Null; columns.len()];
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let Some(place) = columns.iter().position(|column| column.name == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = match columns.get(place).map_or(Kind::Text, |column| column.kind) {
                // As the store wrote it: no number is read and written again.
                Kind::Json => match map.next_value::<&RawValue>()?.get() {
                    "null" => Value::Null,
                    text => Value::text(text),
                },
                kind => Value::read(kind, map.next_value()?)
                    .map_err(|reason| serde::de::Error::custom(format_args!("column {name}: {reason}")))?,
            };
            if let Some(slot) = row.get_mut(place) {
                *slot = value;
            }
        }
        Ok(row)
    }
}

fn derived(record: &Record, number: usize, table: &'static Table) -> Result<Mapped, String> {
    let version = (i64::from(record.at.partition), record.offset);
    let Some(value) = &record.value else { return gone(record, number, table, version) };
    let (rows, received_at) = match table.topic {
        topic::SIGNALS => match event(value)? {
            Some((row, received_at)) => (vec![row], Some(received_at)),
            None => return Ok(Mapped::default()),
        },
        topic::SESSIONS => (vec![session(read(value)?)], None),
        topic::IDENTITY => (vec![link(read(value)?)], None),
        topic::FEATURES => features(read(value)?),
        topic::TAGS => {
            let Tags { person, tags, as_of, .. } = read(value)?;
            return Ok(set(number, version, person.0, tags, as_of));
        }
        topic::COHORTS => {
            let Cohorts { person, cohorts, as_of, .. } = read(value)?;
            return Ok(set(number, version, person.0, cohorts, as_of));
        }
        topic::INTENTS => (vec![intent(read(value)?)], None),
        _ => return Ok(Mapped::default()),
    };
    let key = rows.first().map(|row| key_of(table, row)).transpose()?.unwrap_or_default();
    let change = RowChange::Put { rows, created: false };
    Ok(Mapped { op: Some(RowOp { table: number, key, version, change }), received_at })
}

fn read<'de, T: Deserialize<'de>>(value: &'de [u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// A record without value takes its key's rows away.
fn gone(record: &Record, number: usize, table: &Table, version: Version) -> Result<Mapped, String> {
    let Some(key) = &record.key else { return Ok(Mapped::default()) };
    let text = std::str::from_utf8(key).map_err(|_| "the key is no text")?;
    let kind = table.columns.first().map(|column| column.kind).ok_or("no column")?;
    let key = vec![Value::read(kind, Json::from(text))?];
    let change = RowChange::Put { rows: Vec::new(), created: false };
    Ok(Mapped { op: Some(RowOp { table: number, key, version, change }), received_at: None })
}

/// How the body of an event begins: the kind of a body is the one name in it.
const EVENT: &str = "{\"event\":";

/// How the body of a handover begins.
const HANDOVER: &str = "{\"handover\":";

/// Whether a signal hands a trace's state over to another person.
pub(crate) fn is_handover(signal: &[u8]) -> bool {
    read::<Unread<'_>>(signal).is_ok_and(|unread| unread.body.get().starts_with(HANDOVER))
}

/// A signal with its body unread: only events are read in full.
#[derive(Deserialize)]
struct Unread<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

fn event(value: &[u8]) -> Result<Option<(Row, i64)>, String> {
    let unread: Unread<'_> = read(value)?;
    if !unread.body.get().starts_with(EVENT) {
        return Ok(None);
    }
    let Signal { person, trace, occurred_at, received_at, body, .. } = read(value)?;
    let Body::Event { event, product } = body else { return Ok(None) };
    let event: BehaviourEvent = *event;
    let product = product.unwrap_or_default();
    let optional = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let code = Some(product.product_code).filter(|code| !code.is_empty());
    let kind = serde_json::to_value(event.kind).map_err(|error| error.to_string())?;
    let row = vec![
        Value::Text(event.source),
        Value::Text(event.message_id),
        Value::Text(event.name),
        Value::read(Kind::Text, kind)?,
        Value::Text(person.0),
        Value::Text(trace.0),
        optional(event.anonymous_id),
        optional(event.user_id),
        Value::moment(occurred_at),
        Value::moment(received_at),
        optional(code),
        optional(product.sku_code),
        optional(product.category),
        optional(product.brand),
        document(event.properties),
        document(event.context),
        document(event.enrichment),
        event.consent.map_or(Value::Null, |consent| Value::Text(consent.to_string())),
        Value::Int(i64::from(event.contract_version)),
    ];
    Ok(Some((row, received_at.as_microsecond())))
}

fn document(map: Map<String, Json>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Text(Json::Object(map).to_string()) }
}

fn session(session: Session) -> Row {
    vec![
        Value::uuid(session.session_id),
        Value::Text(session.trace.0),
        Value::Text(session.person.0),
        Value::moment(session.started_at),
        Value::moment(session.ended_at),
        count(session.events),
        count(session.product_views),
    ]
}

fn link(link: Link) -> Row {
    vec![Value::Text(link.trace.0), Value::Text(link.person.0), count(link.move_no), Value::moment(link.since)]
}

fn features(features: Features) -> (Vec<Row>, Option<i64>) {
    // A timer has no signal to be fresh for.
    let received_at = features.cause.as_ref().map(|_| features.received_at.as_microsecond());
    let row = vec![
        Value::Text(features.person.0),
        Value::moment(features.as_of),
        Value::moment(features.received_at),
        Value::Text(Json::Object(features.features).to_string()),
    ];
    (vec![row], received_at)
}

fn intent(intent: Intent) -> Row {
    let status = match intent.status {
        model::derived::IntentStatus::Fired => "fired",
        model::derived::IntentStatus::Retracted => "retracted",
    };
    vec![
        Value::uuid(intent.intent_id),
        Value::Text(intent.intent),
        Value::Text(intent.person.0),
        Value::text(status),
        Value::moment(intent.fired_at),
        Value::Text(Json::Object(intent.detail).to_string()),
    ]
}

/// All tags or cohorts of a person: one row each, replacing all that there were.
fn set(table: usize, version: Version, person: String, tags: Vec<Tag>, as_of: Timestamp) -> Mapped {
    let key = vec![Value::Text(person)];
    let row = |tag: Tag| {
        let mut row = key.clone();
        row.extend([Value::Text(tag.tag), Value::moment(tag.since), Value::moment(as_of)]);
        row
    };
    let rows = tags.into_iter().map(row).collect();
    Mapped {
        op: Some(RowOp { table, key, version, change: RowChange::Put { rows, created: false } }),
        received_at: None,
    }
}

fn count(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
