use crate::rig::{directory, kill, rows, settings, until};
use engine_postgres::testing::connect;
use engine_postgres::{Archive, Cluster, PostgresError, Recovery, Target, Version, base_backup, verify};
use rustix::process::Signal;
use std::path::{Path, PathBuf};

/// A cluster that keeps its log, with one row, backed up; then it has four more rows, each with the position behind it. The last
/// piece of its log is not archived.
struct Lost {
    version: Version,
    directory: tempfile::TempDir,
    password: String,
    positions: Vec<u64>,
}

impl Lost {
    async fn new(version: Version) -> Self {
        let directory = directory();
        let (base, archive) = (directory.path().join("base"), directory.path().join("the archive's"));
        let mut of = settings(version, &directory.path().join("first")).await;
        of.archive = Some(Archive { dir: archive.clone(), timeout_s: 60 });
        let cluster = Cluster::start(of).await.unwrap();
        let client = connect(&cluster.config()).await.unwrap();
        client.batch_execute("create table t (id int); insert into t values (1)").await.unwrap();
        let taken = base_backup(&cluster.config(), cluster.installation(), &base).unwrap();
        assert!(taken.files > 500 && taken.end > taken.start && taken.timeline == 1, "{taken:?}");
        let mut positions = Vec::new();
        for id in 2..=5 {
            client.execute("insert into t values ($1)", &[&id]).await.unwrap();
            let lsn: String = client.query_one("select pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
            positions.push(model::position::parse_lsn(&lsn).unwrap());
            if id == 4 {
                let piece: String =
                    client.query_one("select pg_walfile_name(pg_switch_wal())", &[]).await.unwrap().get(0);
                until("archived", || archive.join(format!("wal/{piece}.gz")).exists()).await;
            }
        }
        let pid = cluster.pid().unwrap();
        kill(pid, Signal::KILL);
        until("dead", || cluster.pid().is_none()).await;
        let password = std::fs::read_to_string(directory.path().join("first/password")).unwrap();
        Self { version, directory, password, positions }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn restore(&self, into: &str, target: Target, old_wal: Option<PathBuf>) -> Result<Cluster, PostgresError> {
        let recovery = Recovery { target, archive: Some(self.path("the archive's")), old_wal };
        let of = settings(self.version, &self.path(into)).await;
        Cluster::restore(self.path("base"), self.password.clone(), of, recovery).await
    }
}

async fn a_lost_cluster_comes_back_to_any_position(version: Version) {
    let lost = Lost::new(version).await;
    for (into, position, expected) in [("second", lost.positions[0], 2), ("third", lost.positions[1], 3)] {
        let cluster = lost.restore(into, Target::Position(position), None).await.unwrap();
        assert_eq!(rows(&cluster).await, expected);
        // It is a cluster like any other from now on, also after a kill.
        connect(&cluster.config()).await.unwrap().batch_execute("insert into t values (9)").await.unwrap();
        kill(cluster.pid().unwrap(), Signal::KILL);
        until("dead", || cluster.pid().is_none()).await;
        drop(cluster);
        let again = Cluster::start(settings(version, &lost.path(into)).await).await.unwrap();
        assert_eq!(rows(&again).await, expected + 1);
        again.stop().await;
    }
    let error = lost.restore("third", Target::Latest, None).await.err().unwrap();
    assert!(error.to_string().contains("holds a cluster"), "{error}");
}

async fn what_was_not_archived_comes_from_the_old_disk(version: Version) {
    let lost = Lost::new(version).await;
    let archived = lost.restore("second", Target::Latest, None).await.unwrap();
    assert_eq!(rows(&archived).await, 4);
    archived.stop().await;
    let all = lost.restore("third", Target::Latest, Some(lost.path("first/data/pg_wal"))).await.unwrap();
    assert_eq!(rows(&all).await, 5);
    all.stop().await;
    let error = lost.restore("fourth", Target::Position(u64::MAX / 2), None).await.err().unwrap();
    assert!(error.to_string().contains("the log ends before"), "{error}");
    let error = lost.restore("fifth", Target::Time("2999-01-01 00:00:00+00".to_owned()), None).await.err().unwrap();
    assert!(error.to_string().contains("the log ends before"), "{error}");
}

async fn a_damaged_backup_is_refused(version: Version) {
    let lost = Lost::new(version).await;
    let base = lost.path("base");
    verify(&base).unwrap();
    let refused = |what: &str| {
        let error = verify(&base).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[8] ^= 1;
        std::fs::write(path, &bytes).unwrap();
    };
    let control = base.join("global/pg_control");
    flip(&control);
    refused("global/pg_control was changed");
    let error = lost.restore("second", Target::Latest, None).await.err().unwrap();
    assert!(error.to_string().contains("pg_control was changed"), "{error}");
    flip(&control);
    verify(&base).unwrap();
    std::fs::write(base.join("stranger"), "").unwrap();
    refused("stranger does not belong");
    std::fs::remove_file(base.join("stranger")).unwrap();
    let manifest = base.join("backup_manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"Size\": 3", "\"Size\": 4", 1)).unwrap();
    refused("manifest was changed");
}

on_both!(
    a_lost_cluster_comes_back_to_any_position,
    what_was_not_archived_comes_from_the_old_disk,
    a_damaged_backup_is_refused,
);
