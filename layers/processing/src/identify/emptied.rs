//! Tables that were emptied. A truncate takes every older row away; what came of them is taken back row by row, some in every step.
//!
//! A snapshot that is taken again begins with a truncate too, and most rows come back at once. So nothing is taken back before it is
//! complete: then the rows that did not come back are those that were deleted in the meantime.

use super::owners::Version;
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use model::signal::Cause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Namespace of emptied tables, by topic.
const EMPTIED: &str = "processing.identify.emptied";
/// Layout of an entry; raise it with every change of the struct.
const LAYOUT: u8 = 1;

/// When a table was emptied, and how far that was followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Emptied {
    /// Version of the truncate.
    pub version: Version,
    /// The truncate.
    pub cause: Cause,
    /// What is left to do.
    pub rest: Rest,
}

/// What is left to do about an emptied table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// To wait until the snapshot is complete.
    Snapshot,
    /// The rows from this key on.
    From(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// All tables that were ever emptied.
#[derive(Default)]
pub struct EmptiedTables(BTreeMap<String, Emptied>);

impl EmptiedTables {
    /// Reads them from the state.
    pub fn load(state: &Overlay) -> Result<Self, ProcessingError> {
        let mut tables = BTreeMap::new();
        for (key, value) in state.scan(EMPTIED, &[])? {
            tables.insert(String::from_utf8_lossy(&key).into_owned(), codec::decode(EMPTIED, LAYOUT, &value)?);
        }
        Ok(Self(tables))
    }

    /// Whether a row of a topic was taken away by a truncate that is newer.
    pub fn took(&self, topic: &str, version: Version) -> bool {
        self.0.get(topic).is_some_and(|emptied| version < emptied.version)
    }

    /// A truncate. It stands in every partition of its topic.
    pub fn note(
        &mut self,
        state: &mut Overlay,
        version: Version,
        snapshot: bool,
        cause: &Cause,
    ) -> Result<(), ProcessingError> {
        if self.0.get(&cause.topic).is_some_and(|known| known.version >= version) {
            return Ok(());
        }
        let rest = if snapshot { Rest::Snapshot } else { Rest::From(Vec::new()) };
        self.keep(state, Emptied { version, cause: cause.clone(), rest })
    }

    /// A snapshot is complete.
    pub fn snapshot_complete(&mut self, state: &mut Overlay) -> Result<(), ProcessingError> {
        let waiting: Vec<Emptied> = self.0.values().filter(|emptied| emptied.rest == Rest::Snapshot).cloned().collect();
        waiting
            .into_iter()
            .try_for_each(|emptied| self.keep(state, Emptied { rest: Rest::From(Vec::new()), ..emptied }))
    }

    /// Keeps how far a table is.
    pub fn keep(&mut self, state: &mut Overlay, emptied: Emptied) -> Result<(), ProcessingError> {
        let topic = emptied.cause.topic.clone();
        let value = codec::encode(EMPTIED, LAYOUT, &emptied)?;
        state.put(EMPTIED, Bytes::copy_from_slice(topic.as_bytes()), Some(value));
        self.0.insert(topic, emptied);
        Ok(())
    }

    /// A table with rows to look at, and the key to go on from.
    pub fn next(&self) -> Option<(Emptied, Vec<u8>)> {
        self.0.values().find_map(|emptied| match &emptied.rest {
            Rest::From(from) => Some((emptied.clone(), from.clone())),
            Rest::Snapshot | Rest::Nothing => None,
        })
    }
}
