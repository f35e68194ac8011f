use crate::rig::{directory, kill, rows, settings, until};
use engine_postgres::testing::{connect, fresh_database};
use engine_postgres::{Cluster, PostgresError, Settings, Version};
use model::Layer;
use runtime::Telemetry;
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// All tests that run on both versions say nothing more than on one if these are the same.
#[test]
fn the_two_versions_are_two_majors() {
    let [system, wheel] = Version::BOTH.map(|version| version.installation().unwrap());
    assert_ne!(
        system.major,
        wheel.major,
        "the tests \"on both versions\" would all run on PostgreSQL {} alone: {} is what this machine has. Install another major \
         beside it: `apt-get install postgresql`, or a versioned package",
        wheel.major,
        system.bin_dir.display()
    );
}

async fn answers_with_durable_settings_and_no_tcp_port(version: Version) {
    let config = fresh_database(version).await.unwrap();
    let client = connect(&config).await.unwrap();
    let setting = "select current_setting('fsync'), current_setting('wal_level'), current_setting('listen_addresses')";
    let row = client.query_one(setting, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("on", "logical", ""));
}

async fn a_killed_postmaster_comes_back_with_everything_committed(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let telemetry = Telemetry::default();
    let stop = CancellationToken::new();
    let watched = (*cluster).clone();
    let (meter, token) = (telemetry.meter(Layer::Oltp), stop.clone());
    let supervisor = tokio::spawn(async move { watched.supervise(meter, token).await });
    let client = connect(&cluster.config()).await.unwrap();
    client.batch_execute("create table t (id int); insert into t values (1)").await.unwrap();
    for _ in 0..3 {
        let old = cluster.pid().unwrap();
        kill(old, Signal::KILL);
        until("a new postmaster", || cluster.pid().is_some_and(|pid| pid != old)).await;
        while connect(&cluster.config()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(rows(&cluster).await, 1);
    }
    assert!(telemetry.status()[0].errors > 0, "a death is reported");
    stop.cancel();
    supervisor.await.unwrap().unwrap();
    assert_eq!(cluster.pid(), None);
}

/// What a kill of the program leaves behind where the death signal does not exist: a postmaster that still runs.
async fn an_old_postmaster_is_replaced(version: Version) {
    let directory = directory();
    let first = Cluster::start(settings(version, directory.path()).await).await.unwrap();
    connect(&first.config()).await.unwrap().batch_execute("create table t (id int)").await.unwrap();
    let refused = Cluster::start(settings(version, directory.path()).await).await.err().unwrap();
    assert!(matches!(refused, PostgresError::InUse(_)), "{refused}");
    let old = first.pid().unwrap();
    // The lock is the process's: taking it away stands for the process's death, with PostgreSQL surviving.
    std::fs::remove_file(directory.path().join("lock")).unwrap();
    let second = Cluster::start(settings(version, directory.path()).await).await.unwrap();
    assert_ne!(second.pid(), Some(old));
    until("the old one is gone", || first.pid().is_none()).await;
    assert_eq!(rows(&second).await, 0);
    second.stop().await;
}

async fn a_stale_pid_file_that_names_a_stranger_is_no_hindrance(version: Version) {
    let directory = directory();
    let cluster = Cluster::start(settings(version, directory.path()).await).await.unwrap();
    let pid = cluster.pid().unwrap();
    kill(pid, Signal::KILL);
    until("dead", || cluster.pid().is_none()).await;
    drop(cluster);
    let file = directory.path().join("data/postmaster.pid");
    let text = std::fs::read_to_string(&file).unwrap();
    // Our own number: a living process that is no PostgreSQL.
    std::fs::write(&file, text.replacen(&pid.to_string(), &std::process::id().to_string(), 1)).unwrap();
    let cluster = Cluster::start(settings(version, directory.path()).await).await.unwrap();
    assert!(cluster.pid().is_some());
    cluster.stop().await;
}

async fn any_path_will_do(version: Version) {
    let directory = directory();
    for (name, moved) in [(r#"it's a "b" c\d ü"#, false), ("one, two", true), (&"d".repeat(100), true)] {
        let path = directory.path().join(name);
        let cluster = Cluster::start(settings(version, &path).await).await.unwrap();
        let socket_dir = cluster.socket_dir().to_owned();
        assert_eq!(
            socket_dir.starts_with(path.canonicalize().unwrap()),
            !moved,
            "{name}: the socket is in {}",
            socket_dir.display()
        );
        connect(&cluster.config()).await.unwrap().batch_execute("create table t (id int)").await.unwrap();
        cluster.stop().await;
        drop(cluster);
        let again = Cluster::start(settings(version, &path).await).await.unwrap();
        assert_eq!(rows(&again).await, 0);
        again.stop().await;
        drop(again);
        std::fs::remove_dir_all(socket_dir).unwrap();
    }
}

async fn a_temporary_cluster_leaves_nothing(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let (root, pid) = (cluster.log_file().parent().unwrap().to_owned(), cluster.pid().unwrap());
    drop(cluster);
    assert!(!root.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn binaries_of_another_version_are_refused_in_words() {
    let directory = directory();
    let cluster = Cluster::start(Settings::new(directory.path())).await.unwrap();
    cluster.stop().await;
    drop(cluster);
    std::fs::write(directory.path().join("data/PG_VERSION"), "14\n").unwrap();
    let text = Cluster::start(Settings::new(directory.path())).await.err().unwrap().to_string();
    assert!(text.contains("apt-get install postgresql-14") && text.contains("brew install postgresql@14"), "{text}");
}

on_both!(
    answers_with_durable_settings_and_no_tcp_port,
    a_killed_postmaster_comes_back_with_everything_committed,
    an_old_postmaster_is_replaced,
    a_stale_pid_file_that_names_a_stranger_is_no_hindrance,
    any_path_will_do,
    a_temporary_cluster_leaves_nothing,
);
