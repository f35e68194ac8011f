//! Base backups: the cluster as it is, taken while it works, checked before it counts.

use crate::manifest::{BaseBackup, verify};
use crate::{Installation, PostgresError, child};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Takes a base backup of a running private cluster into a folder that is not there yet, flushed and checked. It has all the log
/// that it needs by itself. Blocks for as long as it takes to read the cluster twice.
///
/// # Errors
/// When the programs of PostgreSQL that it takes are missing, the cluster refuses, the folder cannot be written, or what was
/// written is not what the cluster sent.
pub fn base_backup(cluster: &Config, installation: &Installation, into: &Path) -> Result<BaseBackup, PostgresError> {
    let [Host::Unix(socket_dir)] = cluster.get_hosts() else {
        return Err(PostgresError::Backup(
            "only the private cluster is backed up; back your own server up by its own means".to_owned(),
        ));
    };
    let mut command = Command::new(installation.program("pg_basebackup"));
    command
        .arg("--pgdata")
        .arg(into)
        .args(["--format", "plain", "--wal-method", "stream", "--checkpoint", "fast", "--manifest-checksums", "SHA256"])
        .args(["--no-password", "--label", "storewide"])
        .arg("--host")
        .arg(socket_dir)
        .args(["--port", &cluster.get_ports().first().map_or(5432, |port| *port).to_string()])
        .args(["--username", cluster.get_user().unwrap_or_default()])
        .env_clear()
        .env("PGPASSWORD", String::from_utf8_lossy(cluster.get_password().unwrap_or_default()).as_ref());
    run(command)?;
    // It also reads the log that came with the backup.
    let checker = installation.program("pg_verifybackup");
    if checker.is_file() {
        let mut command = Command::new(checker);
        command.arg("--quiet").arg(into).env_clear();
        run(command)?;
    }
    verify(into)
}

fn run(mut command: Command) -> Result<(), PostgresError> {
    let program = Path::new(command.get_program()).to_owned();
    if !program.is_file() {
        return Err(PostgresError::Backup(format!(
            "there is no {}; install PostgreSQL's client programs of the same version beside the server",
            program.display()
        )));
    }
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let run = child::spawn(command, Signal::TERM).and_then(std::process::Child::wait_with_output);
    let output = run.map_err(PostgresError::io("cannot run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    Err(PostgresError::Backup(last))
}
