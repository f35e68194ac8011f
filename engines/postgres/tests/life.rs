use engine_postgres::testing::{connect, fresh_database};
use engine_postgres::{Cluster, PostgresError, Settings, Version, external};
use model::Layer;
use runtime::Telemetry;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A directory under `/tmp` that PostgreSQL's account may enter.
fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new().prefix("storewide-pg-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn rows(cluster: &Cluster) -> i64 {
    let client = connect(&cluster.config()).await.unwrap();
    client.query_one("select count(*) from t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn answers_on_both_versions() {
    for version in Version::BOTH {
        let config = fresh_database(version).await.unwrap();
        let client = connect(&config).await.unwrap();
        let setting =
            "select current_setting('fsync'), current_setting('wal_level'), current_setting('listen_addresses')";
        let row = client.query_one(setting, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), ("on", "logical", ""));
    }
}

#[tokio::test]
async fn url_connects_and_passes_the_check_of_external_servers() {
    let cluster = Cluster::temporary(Version::System).await.unwrap();
    for name in ["a b%/ü", "a b%/ü", "plain"] {
        cluster.create_database(name).await.unwrap();
    }
    let config = external(&cluster.url("a b%/ü")).await.unwrap();
    let client = connect(&config).await.unwrap();
    let row = client.query_one("select current_database()::text", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "a b%/ü");

    client.batch_execute("create role weak login password 'weak'").await.unwrap();
    let weak = cluster.url("plain").replacen("storewide:", "weak:", 1);
    let secret = weak.split_once("weak:").unwrap().1.split_once('@').unwrap().0.to_owned();
    let refused = external(&weak.replace(&secret, "weak")).await.unwrap_err();
    assert!(refused.to_string().contains("alter role weak replication"), "{refused}");
    let wrong = external(&weak).await.unwrap_err().to_string();
    assert!(wrong.contains("28P01") && !wrong.contains(&secret), "{wrong}");
}

#[tokio::test]
async fn a_killed_postmaster_comes_back_with_everything_committed() {
    for version in Version::BOTH {
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
}

/// What a kill of the program leaves behind where the death signal does not exist: a postmaster that still runs.
#[tokio::test]
async fn an_old_postmaster_is_replaced() {
    let directory = directory();
    let first = Cluster::start(Settings::new(directory.path())).await.unwrap();
    connect(&first.config()).await.unwrap().batch_execute("create table t (id int)").await.unwrap();
    let refused = Cluster::start(Settings::new(directory.path())).await.err().unwrap();
    assert!(matches!(refused, PostgresError::InUse(_)), "{refused}");
    let old = first.pid().unwrap();
    // The lock is the process's: taking it away stands for the process's death, with PostgreSQL surviving.
    std::fs::remove_file(directory.path().join("lock")).unwrap();
    let second = Cluster::start(Settings::new(directory.path())).await.unwrap();
    assert_ne!(second.pid(), Some(old));
    until("the old one is gone", || first.pid().is_none()).await;
    assert_eq!(rows(&second).await, 0);
    second.stop().await;
}

#[tokio::test]
async fn a_stale_pid_file_that_names_a_stranger_is_no_hindrance() {
    let directory = directory();
    let cluster = Cluster::start(Settings::new(directory.path())).await.unwrap();
    let pid = cluster.pid().unwrap();
    kill(pid, Signal::KILL);
    until("dead", || cluster.pid().is_none()).await;
    drop(cluster);
    let file = directory.path().join("data/postmaster.pid");
    let text = std::fs::read_to_string(&file).unwrap();
    // Our own number: a living process that is no PostgreSQL.
    std::fs::write(&file, text.replacen(&pid.to_string(), &std::process::id().to_string(), 1)).unwrap();
    let cluster = Cluster::start(Settings::new(directory.path())).await.unwrap();
    assert!(cluster.pid().is_some());
    cluster.stop().await;
}

#[tokio::test]
async fn a_half_made_cluster_is_made_again_and_a_long_path_still_has_a_socket() {
    let directory = directory();
    let deep = directory.path().join("d".repeat(100));
    std::fs::create_dir_all(deep.join("data.new/base")).unwrap();
    std::fs::write(deep.join("data.new/PG_VERSION"), "15\n").unwrap();
    let cluster = Cluster::start(Settings::new(&deep)).await.unwrap();
    assert!(cluster.socket_dir().starts_with("/tmp"));
    connect(&cluster.config()).await.unwrap().batch_execute("create table t (id int)").await.unwrap();
    let socket_dir = cluster.socket_dir().to_owned();
    cluster.stop().await;
    drop(cluster);
    let again = Cluster::start(Settings::new(&deep)).await.unwrap();
    assert_eq!(rows(&again).await, 0);
    again.stop().await;
    drop(again);
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn a_temporary_cluster_leaves_nothing() {
    let cluster = Cluster::temporary(Version::System).await.unwrap();
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
