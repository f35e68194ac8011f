//! Our cache folder. Programs are run from it, so it must be nobody else's to write to.

use crate::PostgresError;
use crate::lock::Lock;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where it is. Root's home is closed to the account that PostgreSQL runs as, so root uses `/var/cache`. There is no last resort
/// that anybody else may write to.
pub(crate) fn dir() -> Result<PathBuf, PostgresError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/storewide"));
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let cache = cache.ok_or_else(|| PostgresError::Wheel("there is no cache folder; set HOME".to_owned()))?;
    Ok(cache.join("storewide"))
}

/// Makes the folder unless it is there, and checks it.
pub(crate) fn prepare(dir: &Path) -> Result<(), PostgresError> {
    if !dir.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
        // A strict umask would keep out the account that PostgreSQL runs as.
        made.and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)))
            .map_err(PostgresError::io("cannot create", dir))?;
    }
    check(dir)
}

/// Keeps other processes from filling the folder at the same time. Blocks.
pub(crate) fn lock(dir: &Path) -> Result<Lock, PostgresError> {
    let path = dir.join("lock");
    Lock::wait(&path).map_err(PostgresError::io("cannot lock", &path))
}

/// Refuses a directory that somebody else could have put programs into: only we and root may own it (and the link that leads to it),
/// and only its owner may write to it.
pub(crate) fn check(dir: &Path) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot read", dir)(error);
    let (named, meta) = (fs::symlink_metadata(dir).map_err(failed)?, fs::metadata(dir).map_err(failed)?);
    let us = rustix::process::geteuid().as_raw();
    let foreign = [&named, &meta].iter().any(|meta| meta.uid() != us && meta.uid() != 0);
    let reason = match (foreign, meta.mode() & 0o022) {
        (true, _) => "belongs to somebody else",
        (false, 1..) => "can be written to by others",
        (false, 0) => return Ok(()),
    };
    Err(PostgresError::Wheel(format!("{} {reason}, and programs would be run from it; remove it", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::{check, prepare};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("deep/cache");
        prepare(&cache).unwrap();
        for mode in [0o775, 0o757] {
            fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
            let refused = prepare(&cache).unwrap_err().to_string();
            assert!(refused.contains("written to by others"), "{refused}");
        }
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
        prepare(&cache).unwrap();
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (theirs, link) = (directory.path().join("theirs"), directory.path().join("link"));
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&theirs, &link).unwrap();
        check(&link).unwrap();
        if chown(&theirs, Some(12_345), None).is_err() {
            println!("not checked: only root can give a folder to somebody else");
            return;
        }
        for path in [&theirs, &link] {
            let refused = check(path).unwrap_err().to_string();
            assert!(refused.contains("belongs to somebody else"), "{refused}");
        }
    }
}
