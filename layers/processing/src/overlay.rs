//! State as a batch sees it: what is committed, under what the batch has changed so far.

use bus::{Bus, BusError, StateChange};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values read at once by a scan.
const PAGE: usize = 1_000;

/// Committed state and the changes of the step in hand.
pub struct Overlay {
    bus: Arc<dyn Bus>,
    changes: BTreeMap<(&'static str, Bytes), Option<Bytes>>,
}

impl Overlay {
    /// State on a bus, nothing changed yet.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, changes: BTreeMap::new() }
    }

    /// A value.
    pub fn get(&self, namespace: &'static str, key: &[u8]) -> Result<Option<Bytes>, BusError> {
        match self.changes.get(&(namespace, Bytes::copy_from_slice(key))) {
            Some(changed) => Ok(changed.clone()),
            None => self.bus.state_get(namespace, key),
        }
    }

    /// Sets a value; none deletes it.
    pub fn put(&mut self, namespace: &'static str, key: Bytes, value: Option<Bytes>) {
        self.changes.insert((namespace, key), value);
    }

    /// Committed keys from a key on, in order, at most `limit`; what the step in hand added is not among them.
    pub fn keys(&self, namespace: &'static str, from: &[u8], limit: usize) -> Result<Vec<Bytes>, BusError> {
        Ok(self.bus.state_scan(namespace, from, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    /// All keys and values that start with a prefix, in key order.
    pub fn scan(&self, namespace: &'static str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, BusError> {
        let mut found = BTreeMap::new();
        let mut from = prefix.to_vec();
        'pages: loop {
            let page = self.bus.state_scan(namespace, &from, PAGE)?;
            let full = page.len() == PAGE;
            for (key, value) in page {
                if !key.starts_with(prefix) {
                    break 'pages;
                }
                from.clear();
                from.extend_from_slice(&key);
                from.push(0);
                found.insert(key, value);
            }
            if !full {
                break;
            }
        }
        let start = (namespace, Bytes::copy_from_slice(prefix));
        let changed =
            self.changes.range(start..).take_while(|((of, key), _)| *of == namespace && key.starts_with(prefix));
        for ((_, key), value) in changed {
            match value {
                Some(value) => found.insert(key.clone(), value.clone()),
                None => found.remove(key),
            };
        }
        Ok(found.into_iter().collect())
    }

    /// Takes the changes, for the step.
    pub fn take(&mut self) -> Vec<StateChange> {
        let changes = std::mem::take(&mut self.changes).into_iter();
        changes.map(|((namespace, key), value)| StateChange { namespace: namespace.to_owned(), key, value }).collect()
    }

    /// Forgets the changes.
    pub fn discard(&mut self) {
        self.changes.clear();
    }
}
