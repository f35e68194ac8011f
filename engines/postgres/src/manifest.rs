//! The manifest of a base backup: which files belong to it, and their checksums.

use crate::PostgresError;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Name of the manifest in a base backup.
pub(crate) const MANIFEST: &str = "backup_manifest";
/// What is in a base backup beside the files of the manifest: the log that was written meanwhile, which has checksums of its own.
const LOG: &str = "pg_wal";

/// What a base backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseBackup {
    /// The timeline of its log.
    pub timeline: u32,
    /// Where its log begins.
    pub start: u64,
    /// The log position that it can be brought back to at the earliest.
    pub end: u64,
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    files: Vec<Entry>,
    #[serde(rename = "WAL-Ranges")]
    wal_ranges: Vec<Range>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    path: PathBuf,
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: String,
    checksum: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// Reads all files of a base backup and compares them with its manifest. Blocks.
///
/// # Errors
/// [`PostgresError::Backup`] naming the first file that is missing, was changed or does not belong there.
pub fn verify(base: &Path) -> Result<BaseBackup, PostgresError> {
    each_file(base, |_, file| Ok(Checked { file, into: None }))
}

/// Copies a base backup, checking every byte on its way; `own` gets each file and folder that was made. Blocks.
pub(crate) fn copy(
    base: &Path,
    into: &Path,
    own: &dyn Fn(&Path) -> Result<(), PostgresError>,
) -> Result<BaseBackup, PostgresError> {
    for folder in walk(base)?.0 {
        let made = into.join(&folder);
        crate::layout::make_private(&made)?;
        own(&made)?;
    }
    let copied = each_file(base, |path, file| {
        let to = into.join(path);
        let into = crate::layout::create_private(&to)?;
        own(&to)?;
        Ok(Checked { file, into: Some(into) })
    })?;
    for path in walk(base)?.1.iter().filter(|path| path.starts_with(LOG)) {
        let (from, to) = (base.join(path), into.join(path));
        let mut file = crate::layout::create_private(&to)?;
        let read = File::open(&from).and_then(|mut from| std::io::copy(&mut from, &mut file));
        read.map_err(PostgresError::io("cannot copy", &from))?;
        own(&to)?;
    }
    Ok(copied)
}

/// A file that is read once, and perhaps written elsewhere at the same time.
struct Checked {
    file: File,
    into: Option<File>,
}

impl Checked {
    fn digest(mut self) -> std::io::Result<(u64, String)> {
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                return Ok((size, hex::encode(hash.finalize())));
            }
            hash.update(&buffer[..read]);
            if let Some(into) = &mut self.into {
                into.write_all(&buffer[..read])?;
            }
            size += read as u64;
        }
    }
}

fn each_file(
    base: &Path,
    open: impl Fn(&Path, File) -> Result<Checked, PostgresError>,
) -> Result<BaseBackup, PostgresError> {
    let manifest = read(base)?;
    let listed: HashMap<&Path, &Entry> = manifest.files.iter().map(|entry| (entry.path.as_path(), entry)).collect();
    let stranger = walk(base)?
        .1
        .into_iter()
        .find(|path| !listed.contains_key(path.as_path()) && !path.starts_with(LOG) && path != Path::new(MANIFEST));
    if let Some(path) = stranger {
        return Err(damaged(base, &format!("{} does not belong to it", path.display())));
    }
    let mut bytes = 0;
    for entry in &manifest.files {
        // A path that leads out of the backup is not followed.
        let inside = entry.path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside || entry.algorithm != "SHA256" {
            return Err(damaged(
                base,
                &format!("its manifest names {} in a way that we do not make", entry.path.display()),
            ));
        }
        let path = base.join(&entry.path);
        let file = File::open(&path).map_err(PostgresError::io("cannot read", &path))?;
        let found = open(&entry.path, file)?.digest().map_err(PostgresError::io("cannot copy", &path))?;
        if found != (entry.size, entry.checksum.clone()) {
            return Err(damaged(base, &format!("{} was changed", entry.path.display())));
        }
        bytes += entry.size;
    }
    let lsn = |text: &str| model::position::parse_lsn(text).map_err(|_| damaged(base, "its manifest has no log range"));
    let [range] = manifest.wal_ranges.as_slice() else {
        return Err(damaged(base, "its manifest has not one log range"));
    };
    let files = manifest.files.len() as u64;
    Ok(BaseBackup { timeline: range.timeline, start: lsn(&range.start)?, end: lsn(&range.end)?, files, bytes })
}

fn read(base: &Path) -> Result<Manifest, PostgresError> {
    let path = base.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(PostgresError::io("cannot read", &path))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| damaged(base, &format!("its manifest cannot be read: {error}")))?;
    // The last line is the checksum of all lines before it.
    let before = text.trim_end().rfind('\n').map_or("", |end| &text[..=end]);
    if hex::encode(Sha256::digest(before)) != manifest.checksum {
        return Err(damaged(base, "its manifest was changed"));
    }
    Ok(manifest)
}

/// All folders, the outer ones first, and all files below a folder, as paths in it.
fn walk(base: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), PostgresError> {
    let (mut folders, mut files) = (vec![PathBuf::new()], Vec::new());
    let mut next = 0;
    while next < folders.len() {
        let folder = folders[next].clone();
        let path = base.join(&folder);
        let failed = |error| PostgresError::io("cannot read", &path)(error);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let inside = folder.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() { folders.push(inside) } else { files.push(inside) }
        }
        next += 1;
    }
    Ok((folders, files))
}

fn damaged(base: &Path, what: &str) -> PostgresError {
    PostgresError::Backup(format!("{} is damaged: {what}; use another backup", base.display()))
}
