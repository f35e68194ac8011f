//! The write keys, as the bus tells of them. Pure.

use model::change::Row;
use model::row::WriteKey;
use model::{Change, Op};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Longest key that is looked at, bytes.
const KEY_BYTES_MAX: usize = 256;

type Hash = [u8; 32];

/// What is known of one key; none when it is gone. The version keeps an older change from undoing a newer one.
struct Known {
    partition: i32,
    version: (u64, u64),
    key: Option<(Hash, Arc<str>)>,
}

/// All write keys.
#[derive(Default)]
pub(crate) struct KeyTable {
    known: HashMap<Uuid, Known>,
    /// The valid ones, by the first bytes of their hash: enough to find, not enough to match.
    valid: HashMap<[u8; 8], Vec<(Hash, Arc<str>)>>,
}

impl KeyTable {
    /// Takes a change of a partition in; false when it makes no sense.
    pub(crate) fn apply(&mut self, partition: i32, change: &Change) -> bool {
        if change.op == Op::Truncate {
            // Each partition has a truncate of its own, before its rows: those of the others come in their own time.
            self.known.retain(|_, known| known.partition != partition);
            self.index();
            return true;
        }
        let known = match (change.op, &change.after, &change.before) {
            (Op::Delete, _, Some(before)) => key_id(before).map(|id| (id, None)),
            (_, Some(after), _) => read(after),
            _ => None,
        };
        let Some((id, key)) = known else { return false };
        let version = change.version();
        if self.known.get(&id).is_none_or(|known| known.version <= version) {
            self.known.insert(id, Known { partition, version, key });
            self.index();
        }
        true
    }

    fn index(&mut self) {
        self.valid.clear();
        for (hash, name) in self.known.values().filter_map(|known| known.key.as_ref()) {
            self.valid.entry(prefix(hash)).or_default().push((*hash, Arc::clone(name)));
        }
    }

    /// The source that a key stands for, if it is valid now. Compares hashes in constant time.
    pub(crate) fn source(&self, key: &str) -> Option<Arc<str>> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let hash: Hash = Sha256::digest(key.as_bytes()).into();
        let candidates = self.valid.get(&prefix(&hash))?;
        candidates.iter().find(|(known, _)| bool::from(known.ct_eq(&hash))).map(|(_, name)| Arc::clone(name))
    }
}

fn prefix(hash: &Hash) -> [u8; 8] {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hash[..8]);
    prefix
}

fn key_id(row: &Row) -> Option<Uuid> {
    row.get("write_key_id").and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok())
}

type Read = (Uuid, Option<(Hash, Arc<str>)>);

fn read(row: &Row) -> Option<Read> {
    let key = WriteKey::deserialize(row).ok()?;
    if key.revoked_at.is_some() {
        return Some((key.write_key_id, None));
    }
    let mut hash = [0; 32];
    decode(&key.key_hash, &mut hash)?;
    Some((key.write_key_id, Some((hash, key.name.into()))))
}

/// Reads 64 hex digits.
fn decode(hex: &str, into: &mut Hash) -> Option<()> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in into.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(op: &str, lsn: u64, id: u128, key: &str, revoked: bool) -> Change {
        let hash: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let row = json!({"write_key_id": Uuid::from_u128(id), "name": "web", "key_hash": hash,
            "created_at": "2026-01-01T00:00:00Z", "revoked_at": revoked.then_some("2026-01-02T00:00:00Z")});
        let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
        serde_json::from_value(json!({"before": before, "after": after, "op": op, "ts_us": 0, "source": {"db": "d",
            "schema": "public", "table": "write_key", "lsn": lsn, "seq": 0, "tx": 1, "ts_us": 0, "snapshot": false}}))
        .unwrap()
    }

    #[test]
    fn keys_come_and_go() {
        let mut table = KeyTable::default();
        assert!(table.source("k").is_none());
        assert!(table.apply(0, &change("c", 1, 1, "k", false)));
        assert_eq!(table.source("k").as_deref(), Some("web"));
        assert!(table.source("K").is_none() && table.source("").is_none() && table.source(&"k".repeat(300)).is_none());
        table.apply(0, &change("u", 2, 1, "k", true));
        assert!(table.source("k").is_none(), "revoked");
        table.apply(0, &change("c", 1, 1, "k", false));
        assert!(table.source("k").is_none(), "an older change does not bring it back");
        table.apply(0, &change("c", 3, 2, "l", false));
        table.apply(0, &change("d", 4, 2, "l", false));
        assert!(table.source("l").is_none(), "deleted");
    }

    #[test]
    fn a_truncate_empties_its_own_partition_only() {
        let mut table = KeyTable::default();
        table.apply(0, &change("c", 1, 1, "gone", false));
        // A snapshot taken again: one version of the truncate for all partitions, and then the rows of each.
        for partition in 0..4 {
            table.apply(partition, &change("t", 9, 0, "", false));
            table.apply(
                partition,
                &change("r", 10, 10 + u128::from(partition.unsigned_abs()), &format!("k{partition}"), false),
            );
        }
        assert!(table.source("gone").is_none());
        for key in ["k0", "k1", "k2", "k3"] {
            assert!(table.source(key).is_some(), "{key}");
        }
    }

    #[test]
    fn nonsense_is_noticed_and_harmless() {
        let mut table = KeyTable::default();
        table.apply(0, &change("c", 1, 1, "k", false));
        let mut broken = change("c", 2, 2, "l", false);
        broken.after = Some(Row::new());
        assert!(!table.apply(0, &broken));
        assert_eq!(table.source("k").as_deref(), Some("web"));
    }
}
