//! What capture keeps in the state of the bus, in the same atomic commits as the records.

use crate::{CaptureError, Position};
use bus::{Bus, NewRecord, StateChange};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Namespace of capture's state.
pub const NAMESPACE: &str = "capture";

const POSITION: &[u8] = b"position";
const SNAPSHOT: &[u8] = b"snapshot";
const RESNAPSHOTS: &[u8] = b"resnapshots";
const PUBLISHED: &[u8] = b"published";

/// Tables, each with a mark that changes whenever its publication does.
pub(crate) type Published = BTreeMap<String, String>;

/// The position, and the store that it is a position of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// PostgreSQL's system identifier.
    pub(crate) system: String,
    /// The database.
    pub(crate) database: String,
    #[serde(flatten)]
    pub(crate) position: Position,
}

/// A snapshot that has begun and is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    /// Why it is taken.
    pub(crate) reason: String,
}

/// How far the bus holds the store's changes; none before the first snapshot is complete.
///
/// # Errors
/// When the bus fails.
pub fn position(bus: &dyn Bus) -> Result<Option<Position>, CaptureError> {
    Ok(stored(bus)?.map(|stored| stored.position))
}

pub(crate) fn stored(bus: &dyn Bus) -> Result<Option<Stored>, CaptureError> {
    read(bus, POSITION)
}

pub(crate) fn unfinished(bus: &dyn Bus) -> Result<Option<Unfinished>, CaptureError> {
    read(bus, SNAPSHOT)
}

/// When the store was read again lately, milliseconds since 1970.
pub(crate) fn resnapshots(bus: &dyn Bus) -> Result<Vec<i64>, CaptureError> {
    Ok(read(bus, RESNAPSHOTS)?.unwrap_or_default())
}

/// The tables whose rows are on the bus, as they were published then.
pub(crate) fn published(bus: &dyn Bus) -> Result<Published, CaptureError> {
    Ok(read(bus, PUBLISHED)?.unwrap_or_default())
}

pub(crate) fn keep_published(published: &Published) -> StateChange {
    keep(PUBLISHED, Some(published))
}

pub(crate) fn keep_position(stored: &Stored) -> StateChange {
    keep(POSITION, Some(stored))
}

pub(crate) fn keep_unfinished(unfinished: Option<&Unfinished>) -> StateChange {
    keep(SNAPSHOT, unfinished)
}

pub(crate) fn keep_resnapshots(times: &[i64]) -> StateChange {
    keep(RESNAPSHOTS, Some(times))
}

/// The record that tells readers how far capture has come, and what else they should know.
pub(crate) fn progress(lsn: u64, now_us: i64, event: Option<(&str, &str)>) -> NewRecord {
    let mut value = serde_json::json!({"lsn": lsn, "ts_us": now_us});
    if let Some((name, text)) = event {
        value[name] = text.into();
    }
    NewRecord {
        topic: model::topic::CAPTURE_PROGRESS.to_owned(),
        value: Some(Bytes::from(value.to_string())),
        timestamp_ms: now_us / 1000,
        ..NewRecord::default()
    }
}

fn read<T: DeserializeOwned>(bus: &dyn Bus, key: &[u8]) -> Result<Option<T>, CaptureError> {
    let Some(bytes) = bus.state_get(NAMESPACE, key)? else { return Ok(None) };
    let unreadable = |error| CaptureError::OtherStore(format!("its stored position cannot be read: {error}"));
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

fn keep<T: Serialize + ?Sized>(key: &'static [u8], value: Option<&T>) -> StateChange {
    // Plain structs of ours always become JSON.
    let value = value.map(|value| Bytes::from(serde_json::to_vec(value).unwrap_or_default()));
    StateChange { namespace: NAMESPACE.to_owned(), key: Bytes::from_static(key), value }
}
