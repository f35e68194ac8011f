//! The quarantine: what was refused, as sent, with the reason and all that a replay needs. Written here, and read newest first.

use crate::{Receipt, Rejection};
use bus::limits::MAX_RECORD_BYTES;
use bus::{Bus, BusError, NewRecord, Record, TopicPartition};
use bytes::Bytes;
use model::{Timestamp, topic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Most entries of one page.
pub const PAGE_MAX: usize = 1_000;
/// Bytes fetched at once.
const FETCH_BYTES: usize = 4 << 20;
/// Bytes that are kept of an original that does not fit into a record; as JSON text they become at most twice as many.
const CUT_BYTES: usize = MAX_RECORD_BYTES / 4;
/// Most characters of a reason: names of fields may stand in it, which the sender chose.
const REASON_CHARS_MAX: usize = 1_000;

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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    pub sent: Option<Original>,
}

/// What was sent, and how: enough to send it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Original {
    /// The event, byte for byte; the beginning of its text where it is cut.
    pub event: Box<RawValue>,
    /// Whether the event was too large for a record of the bus, so that only its beginning was kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The call that brought it, such as `track` or `batch`: a single call's event does not say its type.
    pub call: String,
    /// When the batch was sent, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Value>,
    /// Context of all events of the batch, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<RawValue>>,
}

/// A record of the quarantine.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    original: &'a RawValue,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    call: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent_at: Option<Value>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    code: Cow<'a, str>,
    reason: Cow<'a, str>,
    contract_version: u32,
    source: Cow<'a, str>,
    received_at: Timestamp,
}

/// The record that keeps a refused event. It always fits: what the bus would refuse would be sent again for ever.
///
/// Personal data is in it, so that the event can be corrected and replayed; nothing logs it.
pub(crate) fn record(
    original: &RawValue,
    context: Option<&RawValue>,
    rejection: Rejection,
    receipt: &Receipt<'_>,
) -> NewRecord {
    let reason: String = rejection.reason.chars().take(REASON_CHARS_MAX).collect();
    let mut kept = Kept {
        original,
        cut: false,
        call: receipt.call.name().into(),
        sent_at: receipt.sent_at.cloned(),
        context,
        code: rejection.code.into(),
        reason: reason.into(),
        contract_version: rejection.contract_version,
        source: receipt.source.into(),
        received_at: receipt.received,
    };
    let key = rejection.key.map(Bytes::from);
    let whole = crate::run::record(topic::REJECTED, key.clone(), write(&kept), receipt.received);
    if whole.size() <= MAX_RECORD_BYTES {
        return whole;
    }
    let cut = to_raw_value(beginning(original.get())).ok();
    kept.original = cut.as_deref().unwrap_or(RawValue::NULL);
    kept.cut = true;
    crate::run::record(topic::REJECTED, key, write(&kept), receipt.received)
}

fn write(kept: &Kept<'_>) -> Vec<u8> {
    let mut value = Vec::with_capacity(kept.original.get().len() + 512);
    // Writing texts and JSON into memory cannot fail.
    let written = serde_json::to_writer(&mut value, kept);
    debug_assert!(written.is_ok(), "a refused event is JSON");
    value
}

fn beginning(text: &str) -> &str {
    let end = (0..=CUT_BYTES.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A page of entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    found.sort_by_key(|found| Reverse((found.timestamp_ms, found.offset, found.partition)));
    found.truncate(limit);
    for found in &found {
        before.entry(found.partition).and_modify(|end| *end = found.offset.min(*end));
    }
    let more = before.iter().any(|(partition, end)| lows.get(partition).is_some_and(|low| end > low));
    let entries = found.into_iter().map(|found| found.entry).collect();
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
    Ok(found.map(|record| entry(&record, true)))
}

/// An entry and its place in the order.
struct Found {
    timestamp_ms: i64,
    offset: i64,
    partition: i32,
    entry: Entry,
}

async fn read(
    bus: &dyn Bus,
    at: &TopicPartition,
    mut from: i64,
    end: i64,
    found: &mut Vec<Found>,
) -> Result<(), BusError> {
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(PAGE_MAX);
        let records = bus.fetch(at, from, wanted, FETCH_BYTES).await?;
        let Some(last) = records.last() else { break };
        from = last.offset + 1;
        // The originals are not listed: what is not needed must not fill the memory.
        found.extend(records.iter().filter(|record| record.offset < end).map(|record| Found {
            timestamp_ms: record.timestamp_ms,
            offset: record.offset,
            partition: record.at.partition,
            entry: entry(record, false),
        }));
    }
    Ok(())
}

fn entry(record: &Record, whole: bool) -> Entry {
    let id = format!("{}.{}", record.at.partition, record.offset);
    let kept = record.value.as_ref().and_then(|value| serde_json::from_slice::<Kept<'_>>(value).ok());
    match kept {
        Some(kept) => Entry {
            id,
            sent: whole.then(|| original(&kept)),
            code: kept.code.into_owned(),
            reason: kept.reason.into_owned(),
            source: kept.source.into_owned(),
            contract_version: kept.contract_version,
            received_at: kept.received_at,
        },
        None => Entry {
            id,
            code: "gateway.unreadable_entry".to_owned(),
            reason: "the record is no refused event; another program wrote it".to_owned(),
            source: String::new(),
            contract_version: 0,
            received_at: Timestamp::from_millisecond(record.timestamp_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            sent: None,
        },
    }
}

fn original(kept: &Kept<'_>) -> Original {
    Original {
        event: kept.original.to_owned(),
        cut: kept.cut,
        call: kept.call.clone().into_owned(),
        sent_at: kept.sent_at.clone(),
        context: kept.context.map(ToOwned::to_owned),
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
