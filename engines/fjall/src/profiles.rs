//! The profile store: documents of people, on keyspaces of their own beside the bus.
//!
//! `docs` holds what is read: documents and look-up entries. `rows` holds what keeps them right: for each row its version and
//! the keys that it wrote, the versions at which tables were emptied, and the positions. All of a batch is one write; it is not
//! synced by itself, since what a power cut takes away is read from the bus again, from the positions that went with it.

use crate::store::Shared;
use crate::{Store, StoreError};
use bus::TopicPartition;
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use serving::batch::Version;
use serving::placement::{Entry, Placement};
use serving::{Pairs, ProfileStore, ProfileView, ServingError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const ROW: u8 = b'r';
const EMPTIED: u8 = b'e';
const POSITION: u8 = b'p';

/// Profiles in a store's database.
pub struct FjallProfiles {
    shared: Arc<Shared>,
    docs: Keyspace,
    rows: Keyspace,
    /// Reading a row's version and writing the next is one act.
    writing: Mutex<()>,
}

/// What a row wrote.
struct Written {
    version: Version,
    keys: Vec<Vec<u8>>,
}

/// Changes of one write, each key once.
#[derive(Default)]
struct Changes {
    docs: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl FjallProfiles {
    /// Opens the profiles of a store.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(store: &Store, dir: &Path) -> Result<Self, StoreError> {
        let shared = Arc::clone(store.shared());
        let keyspace = |name: &str| {
            shared.db.keyspace(name, KeyspaceCreateOptions::default).map_err(|error| StoreError::open(dir, error))
        };
        let (docs, rows) = (keyspace("profiles.docs")?, keyspace("profiles.rows")?);
        Ok(Self { docs, rows, shared, writing: Mutex::new(()) })
    }

    fn written(&self, id: &[u8]) -> Result<Option<Written>, ServingError> {
        let value = self.rows.get(prefixed(ROW, id)).map_err(engine)?;
        value.map(|value| decode(&value).ok_or_else(|| damaged("a row"))).transpose()
    }

    fn emptied(&self, table: u8) -> Result<Option<Version>, ServingError> {
        let value = self.rows.get([EMPTIED, table]).map_err(engine)?;
        let floor = value.map(|value| decode(&value).ok_or_else(|| damaged("a table's floor"))).transpose()?;
        Ok(floor.map(|floor| floor.version))
    }

    fn changes(&self, placement: Placement) -> Result<Changes, ServingError> {
        let mut changes = Changes::default();
        for (table, at) in &placement.truncated {
            self.empty(*table, *at, &mut changes)?;
        }
        let mut floors = BTreeMap::new();
        let mut puts = Vec::new();
        for entry in placement.entries {
            let table = entry.id.first().copied().unwrap_or_default();
            let floor = match floors.get(&table) {
                Some(floor) => *floor,
                None => *floors.entry(table).or_insert(self.emptied(table)?),
            };
            if floor.is_some_and(|floor| floor > entry.version) {
                continue;
            }
            let old = self.written(&entry.id)?;
            if old.as_ref().is_some_and(|old| old.version >= entry.version) {
                continue;
            }
            for key in old.into_iter().flat_map(|old| old.keys) {
                changes.docs.insert(key, None);
            }
            let keep = entry.guarded || !entry.puts.is_empty();
            changes.rows.insert(prefixed(ROW, &entry.id), keep.then(|| encode(&entry)));
            puts.extend(entry.puts);
        }
        // After all removals: a key that one row leaves may be another's from now on.
        for (key, value) in puts {
            changes.docs.insert(key, Some(value));
        }
        for (at, next) in placement.progress {
            changes.rows.insert(position_key(&at), Some(next.to_be_bytes().to_vec()));
        }
        Ok(changes)
    }

    /// Takes away what a table's rows older than a version wrote.
    fn empty(&self, table: u8, at: Version, changes: &mut Changes) -> Result<(), ServingError> {
        for item in self.rows.prefix([ROW, table]) {
            let (key, value) = item.into_inner().map_err(engine)?;
            let written = decode(&value).ok_or_else(|| damaged("a row"))?;
            if written.version < at {
                changes.docs.extend(written.keys.into_iter().map(|key| (key, None)));
                changes.rows.insert(key.to_vec(), None);
            }
        }
        let floor = Entry { id: Vec::new(), version: at, puts: Vec::new(), guarded: true };
        changes.rows.insert(vec![EMPTIED, table], Some(encode(&floor)));
        Ok(())
    }
}

impl ProfileStore for FjallProfiles {
    fn apply(&self, placement: Placement) -> Result<(), ServingError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.healthy()?;
        let changes = self.changes(placement)?;
        // In the operating system's hands: a kill of this process takes nothing away.
        let mut write = self.shared.db.batch().durability(Some(PersistMode::Buffer));
        for (keyspace, keys) in [(&self.docs, changes.docs), (&self.rows, changes.rows)] {
            for (key, value) in keys {
                match value {
                    Some(value) => write.insert(keyspace, key, value),
                    None => write.remove(keyspace, key),
                }
            }
        }
        // The journal is the bus' too: behind a failed write nobody may go on.
        write.commit().map_err(|error| self.shared.poison(&error).into())
    }

    fn positions(&self) -> Result<BTreeMap<TopicPartition, i64>, ServingError> {
        let mut positions = BTreeMap::new();
        for item in self.rows.prefix([POSITION]) {
            let (key, value) = item.into_inner().map_err(engine)?;
            let position = position_of(&key).zip(value.as_ref().try_into().ok().map(i64::from_be_bytes));
            let (at, next) = position.ok_or_else(|| damaged("a position"))?;
            positions.insert(at, next);
        }
        Ok(positions)
    }

    fn view(&self) -> Box<dyn ProfileView> {
        Box::new(View { snapshot: self.shared.db.snapshot(), docs: self.docs.clone() })
    }
}

struct View {
    snapshot: Snapshot,
    docs: Keyspace,
}

impl ProfileView for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ServingError> {
        let value = self.snapshot.get(&self.docs, key).map_err(engine)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn prefix(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Pairs, ServingError> {
        let mut found = Vec::new();
        for item in self.snapshot.range(&self.docs, from.max(prefix).to_vec()..).take(limit) {
            let (key, value) = item.into_inner().map_err(engine)?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }
}

fn prefixed(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len() + 1);
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

/// The version, then each key with its length in front.
fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(entry.version.0.to_be_bytes());
    bytes.extend(entry.version.1.to_be_bytes());
    for (key, _) in &entry.puts {
        bytes.extend(u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(key);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Written> {
    let number = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let version = (number(0)?, number(8)?);
    let (mut keys, mut rest) = (Vec::new(), bytes.get(16..)?);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (key, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        keys.push(key.to_vec());
        rest = after;
    }
    rest.is_empty().then_some(Written { version, keys })
}

fn position_key(at: &TopicPartition) -> Vec<u8> {
    let mut key = prefixed(POSITION, at.topic.as_bytes());
    key.extend(at.partition.to_be_bytes());
    key
}

fn position_of(key: &[u8]) -> Option<TopicPartition> {
    let (rest, partition) = key.get(1..)?.split_last_chunk::<4>()?;
    Some(TopicPartition::new(std::str::from_utf8(rest).ok()?, i32::from_be_bytes(*partition)))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn engine(error: fjall::Error) -> ServingError {
    ServingError::Store(error.to_string())
}

fn damaged(what: &str) -> ServingError {
    ServingError::Store(format!(
        "{what} of the profiles does not read: check the disk, or restore the directory from a copy"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn a_damaged_floor_is_no_floor_of_zero() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let profiles = FjallProfiles::open(&store, dir.path()).unwrap();
        let entry =
            Entry { id: vec![3, 1], version: (1, 0), puts: vec![(b"k".to_vec(), b"v".to_vec())], guarded: false };
        let row = Placement { entries: vec![entry], ..Placement::default() };
        let emptied = Placement { truncated: vec![(3, (5, 0))], ..Placement::default() };
        profiles.apply(emptied).unwrap();
        profiles.apply(row.clone()).unwrap();
        assert_eq!(profiles.view().get(b"k").unwrap(), None, "older than the floor");
        profiles.rows.insert([EMPTIED, 3], b"torn").unwrap();
        let refused = profiles.apply(row).unwrap_err().to_string();
        assert!(refused.contains("a table's floor of the profiles does not read"), "{refused}");
    }
}
