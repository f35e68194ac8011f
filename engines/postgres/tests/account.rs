use crate::rig::{directory, settings};
use engine_postgres::{Cluster, PostgresError, Settings, Version};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// `nobody`.
const NOBODY: u32 = 65_534;

/// Root's home is closed to the account that PostgreSQL runs as; so is any directory of mode 0700.
#[tokio::test]
async fn a_closed_directory_is_named() {
    if !rustix::process::geteuid().is_root() {
        println!("not checked: only root runs PostgreSQL as somebody else");
        return;
    }
    let directory = tempfile::Builder::new().prefix("storewide-pg-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(Settings::new(directory.path().join("inside"))).await.err().unwrap();
    assert!(matches!(&error, PostgresError::Closed { closed, .. } if closed == directory.path()), "{error}");
    assert!(error.to_string().contains("chmod o+x"));
}

/// `nobody` where root started us, else the account that we run as.
async fn postgres_runs_as_the_account_that_owns_its_files(version: Version) {
    let us = rustix::process::geteuid();
    let account = if us.is_root() { NOBODY } else { us.as_raw() };
    let directory = directory();
    let cluster = Cluster::start(settings(version, directory.path()).await).await.unwrap();
    for path in ["data", "data/PG_VERSION", "data/base", "run", "run/.s.PGSQL.5432"] {
        assert_eq!(directory.path().join(path).metadata().unwrap().uid(), account, "{path}");
    }
    for path in ["password", "postgres.log", "lock"] {
        let meta = directory.path().join(path).metadata().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o077), (us.as_raw(), 0), "{path} is ours alone");
    }
    if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid().unwrap())).unwrap();
        let ids = |key: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().map(|id| id.parse().unwrap()).collect()
        };
        assert_eq!(ids("Uid:"), [account; 4], "real, effective, saved, file system");
        if us.is_root() {
            assert_eq!((ids("Gid:"), ids("Groups:")), (vec![NOBODY; 4], vec![]), "no group of root's is left");
        }
    }
    cluster.stop().await;
}

on_both!(postgres_runs_as_the_account_that_owns_its_files);
