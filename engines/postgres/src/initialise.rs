//! Making a cluster: into a directory beside it, flushed, then renamed. So `data` is complete whenever it exists, and is never
//! deleted by us. Each attempt has a directory of its own: what is left of a killed one cannot get into the next one's way.

use crate::account::Account;
use crate::layout::{Layout, sync_directory, sync_tree, write_private};
use crate::{Installation, PostgresError, child, cluster::SUPERUSER};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Begin of the name of a cluster that is being made, and how many random characters follow.
const DRAFT: (&str, usize) = ("data.new-", 16);

/// Makes the cluster unless there is one. Blocks for a second or two.
pub(crate) fn ensure(
    layout: &Layout,
    installation: &Installation,
    account: Account,
    password: &str,
    durable: bool,
) -> Result<(), PostgresError> {
    sweep(&layout.root);
    if layout.data.exists() {
        return Ok(());
    }
    let draft = tempfile::Builder::new()
        .prefix(DRAFT.0)
        .rand_bytes(DRAFT.1)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(&layout.root)
        .map_err(PostgresError::io("cannot create a directory in", &layout.root))?;
    account.own(draft.path())?;
    let password_file = layout.root.join("initdb.password");
    write_private(&password_file, password.as_bytes())?;
    let made = account.own(&password_file).and_then(|()| initdb(draft.path(), installation, account, &password_file));
    let removed = fs::remove_file(&password_file).map_err(PostgresError::io("cannot remove", &password_file));
    made?;
    removed?;
    if durable {
        sync_tree(draft.path())?;
    }
    fs::rename(draft.path(), &layout.data).map_err(PostgresError::io("cannot rename", draft.path()))?;
    // There is nothing left to remove at the old name.
    let _ = draft.keep();
    sync_directory(&layout.root)
}

/// Removes what killed attempts have left. We hold the lock, so nobody else makes a cluster here; a process of a killed attempt may
/// still write for a moment. What cannot be removed for that reason hinders nobody, and the next start tries again.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(DRAFT.0));
        let ours = random
            .is_some_and(|random| random.len() == DRAFT.1 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(target: "oltp", path = %path.display(), %error, "a half-made cluster cannot be removed yet");
        }
    }
}

fn initdb(
    into: &Path,
    installation: &Installation,
    account: Account,
    password_file: &Path,
) -> Result<(), PostgresError> {
    let program = installation.program("initdb");
    let mut command = Command::new(&program);
    command
        .arg("--pgdata")
        .arg(into)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"])
        // The whole is flushed at once afterwards.
        .args(["--data-checksums", "--no-sync", "--no-instructions"])
        .arg("--pwfile")
        .arg(password_file)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    account.apply(&mut command);
    // Killed, not interrupted: it ignores an interrupt while it waits for a shell.
    let run = child::spawn(command, Signal::KILL).and_then(std::process::Child::wait_with_output);
    let output = run.map_err(PostgresError::io("cannot run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    Err(PostgresError::Initdb(last.into_iter().rev().collect::<Vec<_>>().join("; ")))
}
