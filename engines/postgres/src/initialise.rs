//! Making a cluster: into a directory beside it, flushed, then renamed. So `data` is complete whenever it exists, and is never
//! deleted by us.

use crate::account::Account;
use crate::layout::{Layout, sync_directory, write_private};
use crate::{Installation, PostgresError, SUPERUSER};
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes the cluster unless there is one. Blocks for a second or two.
pub(crate) fn ensure(
    layout: &Layout,
    installation: &Installation,
    account: Account,
    password: &str,
    durable: bool,
) -> Result<(), PostgresError> {
    if layout.data.exists() {
        return Ok(());
    }
    if layout.fresh.exists() {
        fs::remove_dir_all(&layout.fresh).map_err(PostgresError::io("cannot remove the half-made", &layout.fresh))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&layout.fresh)
        .map_err(PostgresError::io("cannot create", &layout.fresh))?;
    account.own(&layout.fresh)?;
    let password_file = layout.root.join("initdb.password");
    write_private(&password_file, password.as_bytes())?;
    let made = account.own(&password_file).and_then(|()| initdb(layout, installation, account, &password_file));
    let removed = fs::remove_file(&password_file).map_err(PostgresError::io("cannot remove", &password_file));
    made?;
    removed?;
    if durable {
        flush(&layout.fresh)?;
    }
    fs::rename(&layout.fresh, &layout.data).map_err(PostgresError::io("cannot rename", &layout.fresh))?;
    sync_directory(&layout.root)
}

fn initdb(
    layout: &Layout,
    installation: &Installation,
    account: Account,
    password_file: &Path,
) -> Result<(), PostgresError> {
    let program = installation.program("initdb");
    let mut command = Command::new(&program);
    command
        .arg("--pgdata")
        .arg(&layout.fresh)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"])
        // One flush of the whole file system afterwards costs a tenth of a flush for each of a thousand files.
        .args(["--data-checksums", "--no-sync", "--no-instructions"])
        .arg("--pwfile")
        .arg(password_file)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    account.apply(&mut command);
    let output = command.output().map_err(PostgresError::io("cannot run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    Err(PostgresError::Initdb(last.into_iter().rev().collect::<Vec<_>>().join("; ")))
}

#[cfg(target_os = "linux")]
fn flush(dir: &Path) -> Result<(), PostgresError> {
    let failed = PostgresError::io("cannot flush", dir);
    File::open(dir).and_then(|dir| rustix::fs::syncfs(&dir).map_err(Into::into)).map_err(failed)
}

#[cfg(not(target_os = "linux"))]
fn flush(dir: &Path) -> Result<(), PostgresError> {
    let failed = |error| PostgresError::io("cannot flush", dir)(error);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            flush(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
        }
    }
    sync_directory(dir)
}
