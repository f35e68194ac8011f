//! Child processes that do not outlive us.

use rustix::process::Signal;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};

/// Starts a program in a process group of its own, so that a Ctrl-C in our terminal is ours alone. On Linux it gets the signal when
/// this process dies, however that comes.
pub(crate) fn spawn(mut command: Command, when_we_die: Signal) -> io::Result<Child> {
    command.process_group(0);
    die_with_us(&mut command, when_we_die);
    spawn_from_lasting_thread(command)
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Linux ties the death signal to the *thread* that forked, and runtimes end threads as they like: so one thread, which lives as
/// long as the process, forks for everybody.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts PostgreSQL is gone");
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let run = move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("postgres-spawn".to_owned()).spawn(run).ok().map(|_| sender)
    });
    let (answer, child) = mpsc::channel();
    spawner.as_ref().ok_or_else(gone)?.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe work is allowed: it makes two plain system
    // calls, allocates nothing and takes no lock. It runs after the change of uid, which would clear the death signal.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(ask);
    }
}

/// Elsewhere the next start meets the orphan: it stops an old PostgreSQL, and keeps out of the way of an old `initdb`.
#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command, _: Signal) {}
