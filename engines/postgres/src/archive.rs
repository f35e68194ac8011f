//! The archive: finished pieces of the log, compressed, in a folder beside the cluster. PostgreSQL itself puts them there and
//! takes them from there, by the two commands below; the compression carries a checksum.

use std::path::{Path, PathBuf};

/// Name of the folder of log pieces in an archive.
pub const WAL_FOLDER: &str = "wal";

/// Where a running cluster keeps its log, so that it can be brought back to any moment after a base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The folder. The pieces go to `wal` in it, which PostgreSQL's account owns.
    pub dir: PathBuf,
    /// A piece is kept at the latest after so many seconds, full or not: what is lost with the disk is no more than that.
    pub timeout_s: u32,
}

impl Archive {
    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join(WAL_FOLDER)
    }
}

/// How far a restore goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the end of what there is.
    Latest,
    /// Everything committed up to this time, as PostgreSQL reads it, with its offset.
    Time(String),
    /// Everything committed up to this log position.
    Position(u64),
}

/// Where a restore takes the log from, and how far it goes.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// How far.
    pub target: Target,
    /// The folder of the archive; none for a base backup by itself.
    pub archive: Option<PathBuf>,
    /// The log of the lost cluster, if its disk can still be read: the newest pieces are not archived yet.
    pub old_wal: Option<PathBuf>,
}

/// The programs of the commands are those of the system.
const PATH: &str = "PATH=/usr/bin:/bin";

/// Keeps a piece: whole, on disk, and never over another one of its name. The same piece again is no failure: PostgreSQL may have
/// died before it noted that it was kept.
pub(crate) fn archive_command(wal: &Path) -> String {
    let dir = quoted(wal);
    format!(
        "{PATH}; d={dir}; z=\"$d/%f.gz\"; if [ -e \"$z\" ]; then gzip -dc \"$z\" | cmp -s - \"%p\"; \
         else gzip -1 -c \"%p\" > \"$z.part\" && sync \"$z.part\" && mv \"$z.part\" \"$z\" && sync \"$d\"; fi"
    )
}

/// Brings a piece back, from the archive or else from the lost cluster's own log.
pub(crate) fn restore_command(recovery: &Recovery) -> String {
    let archive = recovery.archive.as_ref().map(|dir| {
        let dir = quoted(&dir.join(WAL_FOLDER));
        format!("z={dir}/%f.gz; if [ -e \"$z\" ]; then gzip -dc \"$z\" > \"%p\"; exit; fi; ")
    });
    let old = recovery.old_wal.as_ref().map(|dir| {
        let dir = quoted(dir);
        format!("o={dir}/%f; if [ -e \"$o\" ]; then cp \"$o\" \"%p\"; exit; fi; ")
    });
    format!("{PATH}; {}{}exit 1", archive.unwrap_or_default(), old.unwrap_or_default())
}

/// A path as one word of the shell, in a setting where `%` begins a placeholder.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's 5%")), r"'/a b/it'\''s 5%%'");
    }
}
