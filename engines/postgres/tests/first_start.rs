//! `kill -9` of the program while it makes its cluster, then another start.

use crate::rig::{directory, rows, settings, until};
use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Settings, Version};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where [`child`] makes its cluster, and with which binaries.
const DATA: &str = "STOREWIDE_TEST_POSTGRES_DATA";
const BIN: &str = "STOREWIDE_TEST_POSTGRES_BIN";

/// The program, in a process of its own so that it can be killed. Does nothing unless a test starts it.
#[tokio::test]
async fn child() {
    let (Some(data), Some(bin)) = (std::env::var_os(DATA), std::env::var_os(BIN)) else { return };
    let mut settings = Settings::new(data);
    settings.bin_dir = Some(bin.into());
    let _cluster = Cluster::start(settings).await.unwrap();
    std::future::pending::<()>().await;
}

/// Dies with the test.
struct Program(Child);

impl Program {
    fn start(settings: &Settings) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "first_start::child"]).env(DATA, &settings.data_dir);
        command.env(BIN, settings.bin_dir.as_ref().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        // An error means that it is dead already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Clusters in the making.
fn drafts(data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data_dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("data.new")).collect()
}

/// The cluster works, and what the killed attempts have left is gone.
async fn check_usable(settings: Settings) {
    let data_dir = settings.data_dir.clone();
    let cluster = Cluster::start(settings.clone()).await.unwrap();
    let client = connect(&cluster.config()).await.unwrap();
    client.batch_execute("create table t (id int); insert into t values (1); checkpoint").await.unwrap();
    cluster.stop().await;
    drop(cluster);
    // A process below the killed `initdb` may write on for a moment: then a later start removes the rest.
    for _ in 0..20 {
        let again = Cluster::start(settings.clone()).await.unwrap();
        assert_eq!(rows(&again).await, 1);
        again.stop().await;
        if drafts(&data_dir).is_empty() {
            break;
        }
    }
    assert_eq!(drafts(&data_dir), Vec::<PathBuf>::new());
    assert!(!data_dir.join("initdb.password").exists());
}

async fn killed_at_any_step_of_the_first_start(version: Version) {
    let directory = directory();
    let settings = settings(version, &directory.path().join("pg")).await;
    for step in ["", "postgresql.conf", "global/pg_control", "base/4/PG_VERSION"] {
        let mut program = Program::start(&settings);
        until(step, || {
            settings.data_dir.join("data").exists()
                || drafts(&settings.data_dir).iter().any(|draft| draft.join(step).exists())
        })
        .await;
        program.kill();
    }
    check_usable(settings).await;
}

/// Binaries whose `initdb` tells where it works and, until the file `hang` is gone, hangs.
fn hanging_binaries(real: &Path, into: &Path) -> PathBuf {
    let bin = into.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let (real, into) = (real.display(), into.display());
    let postgres = format!("#!/bin/sh\nexec {real}/postgres \"$@\"\n");
    let initdb = format!(
        "#!/bin/sh\necho \"$$ $2\" >>{into}/attempts\ntest -e {into}/hang && exec /bin/sleep 100\nexec {real}/initdb \"$@\"\n"
    );
    for (name, script) in [("postgres", postgres), ("initdb", initdb)] {
        std::fs::write(bin.join(name), script).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

/// Process id and directory of each `initdb` so far.
fn attempts(path: &Path) -> Vec<(u32, PathBuf)> {
    let text = std::fs::read_to_string(path).unwrap();
    let attempts = text.lines().map(|line| line.split_once(' ').unwrap());
    attempts.map(|(pid, directory)| (pid.parse().unwrap(), directory.into())).collect()
}

/// Whether a process lives. A zombie has no command line any more.
fn lives(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn initdb_dies_with_the_program_and_each_attempt_has_its_own_directory() {
    let directory = directory();
    let (hang, told) = (directory.path().join("hang"), directory.path().join("attempts"));
    for file in [&hang, &told] {
        std::fs::write(file, "").unwrap();
    }
    std::fs::set_permissions(&told, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut settings = settings(Version::System, &directory.path().join("pg")).await;
    settings.bin_dir = Some(hanging_binaries(settings.bin_dir.as_ref().unwrap(), directory.path()));

    let mut program = Program::start(&settings);
    until("initdb runs", || std::fs::read_to_string(&told).unwrap().ends_with('\n')).await;
    program.kill();
    let (pid, killed) = attempts(&told).remove(0);
    if cfg!(target_os = "linux") {
        until("initdb is dead", || !lives(pid)).await;
    }
    std::fs::remove_file(&hang).unwrap();
    check_usable(settings).await;
    let (_, second) = attempts(&told).remove(1);
    assert_ne!(killed, second, "an orphan would work in the new cluster");
}

/// A directory of the operator's is not ours, whatever its name begins with.
#[tokio::test]
async fn only_our_own_leftovers_are_removed() {
    let directory = directory();
    let leftover = directory.path().join("data.new-0123456789abcDEF");
    let theirs = ["data.new-backup", "data.new", "data.new-0123456789abc_EF"].map(|name| directory.path().join(name));
    for path in theirs.iter().chain([&leftover]) {
        std::fs::create_dir_all(path.join("base")).unwrap();
        std::fs::write(path.join("PG_VERSION"), "15\n").unwrap();
    }
    let cluster = Cluster::start(settings(Version::System, directory.path()).await).await.unwrap();
    assert!(!leftover.exists());
    assert!(theirs.iter().all(|path| path.join("PG_VERSION").exists()));
    cluster.stop().await;
}

on_both!(killed_at_any_step_of_the_first_start);
