//! Reads the quarantine: what was refused, newest first.

use bus::{Bus, BusError, Record, TopicPartition};
use model::behaviour::RejectedEvent;
use model::{Timestamp, topic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most entries of one page.
pub const PAGE_MAX: usize = 1_000;
/// Bytes fetched at once.
const FETCH_BYTES: usize = 4 << 20;

/// Why the quarantine cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The id or cursor has another form.
    #[error("not a quarantine id or cursor: pass on what `quarantine list` returned, unchanged")]
    Id,
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// A refused event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands: `<partition>.<offset>`.
    pub id: String,
    /// Stable code of the reason.
    pub code: String,
    /// What is wrong, and where.
    pub reason: String,
    /// The source, by the name of its write key.
    pub source: String,
    /// Version of the contract that refused it; 0 for the envelope's own rules.
    pub contract_version: u32,
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// What was sent, personal data included; only where one entry is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Value>,
}

/// A page of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Newest first, without the originals.
    pub entries: Vec<Entry>,
    /// Cursor of the next page; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists refused events, newest first: at most `limit` (1 to [`PAGE_MAX`]), from a cursor on.
///
/// # Errors
/// When the cursor is none of ours or the bus fails.
pub async fn list(bus: &dyn Bus, limit: usize, cursor: Option<&str>) -> Result<Page, QuarantineError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let given = cursor.map(read_cursor).transpose()?;
    let partitions =
        bus.topics().await?.into_iter().find(|spec| spec.name == topic::REJECTED).map_or(0, |spec| spec.partitions);
    let mut before = BTreeMap::new();
    let mut lows = BTreeMap::new();
    let mut found = Vec::new();
    for partition in 0..partitions {
        let at = TopicPartition::new(topic::REJECTED, partition);
        let ends = bus.watermarks(&at).await?;
        let given = given.as_ref().and_then(|given| given.get(&partition)).copied();
        let end = given.unwrap_or(ends.high).clamp(ends.low, ends.high);
        let from = end.saturating_sub(i64::try_from(limit).unwrap_or(i64::MAX)).max(ends.low);
        before.insert(partition, end);
        lows.insert(partition, ends.low);
        read(bus, &at, from, end, &mut found).await?;
    }
    found.sort_by_key(|(record, _)| std::cmp::Reverse((record.timestamp_ms, record.offset, record.at.partition)));
    found.truncate(limit);
    for (record, _) in &found {
        before.entry(record.at.partition).and_modify(|end| *end = record.offset.min(*end));
    }
    let more = before.iter().any(|(partition, end)| lows.get(partition).is_some_and(|low| end > low));
    let entries = found.into_iter().map(|(record, event)| entry(&record, event, false)).collect();
    Ok(Page { entries, next: more.then(|| write_cursor(&before)) })
}

/// One refused event with what was sent; none when there is none at that place.
///
/// # Errors
/// When the id is none of ours or the bus fails.
pub async fn show(bus: &dyn Bus, id: &str) -> Result<Option<Entry>, QuarantineError> {
    let (partition, offset) = read_place(id)?;
    let at = TopicPartition::new(topic::REJECTED, partition);
    let records = match bus.fetch(&at, offset, 1, FETCH_BYTES).await {
        Err(BusError::OffsetOutOfRange { .. } | BusError::UnknownPartition { .. } | BusError::UnknownTopic(_)) => {
            return Ok(None);
        }
        other => other?,
    };
    let found = records.into_iter().next().filter(|record| record.offset == offset);
    Ok(found.map(|record| {
        let event = parse(&record);
        entry(&record, event, true)
    }))
}

type Found = Vec<(Record, Option<RejectedEvent>)>;

async fn read(bus: &dyn Bus, at: &TopicPartition, mut from: i64, end: i64, found: &mut Found) -> Result<(), BusError> {
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(PAGE_MAX);
        let records = bus.fetch(at, from, wanted, FETCH_BYTES).await?;
        let Some(last) = records.last() else { break };
        from = last.offset + 1;
        for mut record in records.into_iter().filter(|record| record.offset < end) {
            // The originals are not listed: what is not needed must not fill the memory.
            let event = parse(&record).map(|event| RejectedEvent { original: Value::Null, ..event });
            record.value = None;
            found.push((record, event));
        }
    }
    Ok(())
}

fn parse(record: &Record) -> Option<RejectedEvent> {
    record.value.as_ref().and_then(|value| serde_json::from_slice(value).ok())
}

fn entry(record: &Record, event: Option<RejectedEvent>, whole: bool) -> Entry {
    let id = format!("{}.{}", record.at.partition, record.offset);
    match event {
        Some(event) => Entry {
            id,
            code: event.code,
            reason: event.reason,
            source: event.source,
            contract_version: event.contract_version,
            received_at: event.received_at,
            original: whole.then_some(event.original),
        },
        None => Entry {
            id,
            code: "gateway.unreadable_entry".to_owned(),
            reason: "the record is no refused event; another program wrote it".to_owned(),
            source: String::new(),
            contract_version: 0,
            received_at: Timestamp::from_millisecond(record.timestamp_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            original: None,
        },
    }
}

fn read_place(text: &str) -> Result<(i32, i64), QuarantineError> {
    let (partition, offset) = text.split_once('.').ok_or(QuarantineError::Id)?;
    let partition: i32 = partition.parse().map_err(|_| QuarantineError::Id)?;
    let offset: i64 = offset.parse().map_err(|_| QuarantineError::Id)?;
    if partition < 0 || offset < 0 {
        return Err(QuarantineError::Id);
    }
    Ok((partition, offset))
}

fn read_cursor(text: &str) -> Result<BTreeMap<i32, i64>, QuarantineError> {
    if text.len() > 4_096 {
        return Err(QuarantineError::Id);
    }
    text.split('_').map(read_place).collect()
}

fn write_cursor(before: &BTreeMap<i32, i64>) -> String {
    let places: Vec<String> = before.iter().map(|(partition, end)| format!("{partition}.{end}")).collect();
    places.join("_")
}
