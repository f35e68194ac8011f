//! PostgreSQL's main process: starting it so that it dies with us, noticing its end, and meeting an older one.

use crate::account::Account;
use crate::layout::Layout;
use crate::{PostgresError, child};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The log is moved aside when it is larger than this; one older log is kept.
const LOG_MAX: u64 = 10 * 1024 * 1024;

/// How long a fast stop may take before it becomes an immediate one. An immediate stop loses nothing: the next start recovers.
const FAST_STOP: Duration = Duration::from_secs(8);

/// A running postmaster.
pub(crate) struct Postmaster {
    pub(crate) pid: Pid,
    /// How it ended, once it has.
    pub(crate) exited: watch::Receiver<Option<String>>,
}

impl Postmaster {
    /// Starts PostgreSQL. It gets SIGINT (fast stop) when this process dies.
    pub(crate) fn spawn(program: &Path, layout: &Layout, account: Account) -> Result<Self, PostgresError> {
        let log = RotatingLog::open(layout.log.clone())?;
        let mut command = Command::new(program);
        command
            .arg("-D")
            .arg(&layout.data)
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        account.apply(&mut command);
        let mut child = child::spawn(command, Signal::INT).map_err(PostgresError::io("cannot run", program))?;
        let pid = Pid::from_child(&child);
        if let Some(stderr) = child.stderr.take() {
            thread("postgres-log", move || log.copy(stderr))?;
        }
        let (sender, exited) = watch::channel(None);
        // Waiting also reaps: an unreaped postmaster would make the next start believe that the old one lives.
        thread("postgres-wait", move || {
            let end = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let _ = sender.send(Some(end));
        })?;
        Ok(Self { pid, exited })
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<String> {
        self.exited.borrow().clone()
    }

    /// Stops it and waits: a fast stop first, an immediate one if that takes too long. Blocks.
    pub(crate) fn stop(&self) {
        for (signal, patience) in [(Signal::INT, FAST_STOP), (Signal::QUIT, FAST_STOP), (Signal::KILL, FAST_STOP)] {
            if self.end().is_some() {
                return;
            }
            // An error means that it has just ended.
            let _ = kill_process(self.pid, signal);
            if wait_until(patience, || self.end().is_some()) {
                return;
            }
        }
    }
}

/// Stops a postmaster that an earlier process of ours has left behind, and forgets a dead one's traces.
pub(crate) fn clear_old(data: &Path) -> Result<(), PostgresError> {
    let path = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|pid| runs_here(*pid, data)) {
        tracing::warn!(target: "oltp", pid = pid.as_raw_nonzero(), "stopping a PostgreSQL that an earlier run left behind");
        for signal in [Signal::INT, Signal::QUIT] {
            let _ = kill_process(pid, signal);
            if wait_until(FAST_STOP, || !runs_here(pid, data)) {
                return Ok(());
            }
        }
        return Err(PostgresError::Old(pid.as_raw_nonzero().get()));
    }
    // The process is dead, or its number belongs to somebody else by now. PostgreSQL itself only checks that the number is taken.
    fs::remove_file(&path).map_err(PostgresError::io("cannot remove the stale", &path))
}

/// Whether a process lives and is the postmaster of a data directory: numbers are used again, so the number alone says nothing.
fn runs_here(pid: Pid, data: &Path) -> bool {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let number = pid.as_raw_nonzero();
    if cfg!(target_os = "linux") {
        // PostgreSQL changes into its data directory. A zombie has no directory any more.
        return fs::read_link(format!("/proc/{number}/cwd")).is_ok_and(|cwd| cwd == data);
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &number.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy()))
}

fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), PostgresError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(PostgresError::io("cannot start a thread", Path::new(name)))
}

/// PostgreSQL's log, bounded.
struct RotatingLog {
    path: PathBuf,
    file: File,
    size: u64,
}

impl RotatingLog {
    fn open(path: PathBuf) -> Result<Self, PostgresError> {
        let failed = PostgresError::io("cannot open", &path);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let opened = file.and_then(|file| file.metadata().map(|meta| (file, meta.len())));
        let (file, size) = opened.map_err(failed)?;
        Ok(Self { path, file, size })
    }

    /// Copies until PostgreSQL ends. What cannot be written is dropped: a full disk must not stop PostgreSQL through its log.
    fn copy(mut self, stderr: ChildStderr) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if self.size > LOG_MAX {
                self.rotate();
            }
            if self.file.write_all(&line).is_ok() {
                self.size += line.len() as u64;
            }
            line.clear();
        }
    }

    fn rotate(&mut self) {
        let _ = fs::rename(&self.path, self.path.with_extension("log.1"));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path);
        if let Ok(file) = file {
            self.file = file;
            self.size = 0;
        }
    }
}
