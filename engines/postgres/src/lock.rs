//! Locks between processes: each is freed when it is dropped, or when the process dies.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A lock on a file that has no other use.
pub(crate) struct Lock(File);

impl Lock {
    /// Takes it, or fails when somebody else has it.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        Self::with(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes it as soon as nobody else has it. Blocks.
    pub(crate) fn wait(path: &Path) -> io::Result<Self> {
        Self::with(path, FlockOperation::LockExclusive)
    }

    fn with(path: &Path, operation: FlockOperation) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        flock(&file, operation)?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread has just forked holds it, too, until it runs its program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn a_dropped_lock_is_free_even_while_a_child_holds_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        assert!(Lock::take(&path).is_err());
        // What a forked child has: the same open file under another number.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        Lock::take(&path).unwrap();
        drop(inherited);
    }
}
