//! What a folder of backups holds, and how far each backup can be brought forward.

use super::{Note, notes};
use anyhow::Result;
use engine_postgres::WAL_FOLDER;
use model::Position;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A backup, and what the archive adds to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// The backup.
    #[serde(flatten)]
    pub backup: Note,
    /// The position that the archived log brings it forward to; none when it stands by itself.
    pub archived_to: Option<String>,
    /// Pieces of the log since this backup, without a gap.
    pub pieces: u64,
    /// Their bytes, compressed.
    pub archived_bytes: u64,
}

/// Lists a folder of backups, the oldest first.
///
/// # Errors
/// When the folder cannot be read or holds no backups.
pub fn list(folder: &Path) -> Result<Vec<Listed>> {
    let mut pieces = BTreeMap::new();
    if let Ok(entries) = fs::read_dir(folder.join(WAL_FOLDER)) {
        for entry in entries {
            let entry = entry?;
            pieces.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
        }
    }
    Ok(notes(folder)?.into_iter().map(|(_, note)| forward(note, &pieces)).collect())
}

/// Follows the log from where a backup begins, piece by piece.
fn forward(backup: Note, pieces: &BTreeMap<String, u64>) -> Listed {
    let (mut count, mut bytes, mut end) = (0, 0, None);
    if let Ok(Position::Wal(start)) = backup.start.parse() {
        let size = backup.wal_segment_bytes.max(1);
        for number in start / size.. {
            let Some(found) = pieces.get(&piece(backup.timeline, number, size)) else { break };
            (count, bytes, end) = (count + 1, bytes + found, Some((number + 1) * size));
        }
    }
    let reaches = |end: &u64| backup.end.parse().is_ok_and(|of| matches!(of, Position::Wal(least) if *end >= least));
    let archived_to = end.filter(reaches).map(|end| Position::Wal(end).to_string());
    Listed { backup, archived_to, pieces: count, archived_bytes: bytes }
}

/// Name of a piece of the log in the archive.
fn piece(timeline: u32, number: u64, size: u64) -> String {
    let of_one = (1 << 32) / size;
    format!("{timeline:08X}{:08X}{:08X}.gz", number / of_one, number % of_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_names_of_postgresql() {
        let size = 16 << 20;
        assert_eq!(piece(1, 3, size), "000000010000000000000003.gz");
        assert_eq!(piece(10, 0x2_ff, size), "0000000A00000002000000FF.gz");
        assert_eq!(piece(1, 4097, 1 << 20), "000000010000000100000001.gz");
    }
}
