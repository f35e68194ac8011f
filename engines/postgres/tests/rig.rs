//! What the tests share.

use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Settings, Version};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;

/// A directory under `/tmp` that PostgreSQL's account may enter.
pub fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new().prefix("storewide-pg-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Settings for a cluster of a version.
pub async fn settings(version: Version, data_dir: &Path) -> Settings {
    let mut settings = Settings::new(data_dir);
    let found = tokio::task::spawn_blocking(move || version.installation()).await.unwrap();
    settings.bin_dir = Some(found.unwrap().bin_dir);
    settings
}

pub fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// The rows of the table `t`.
pub async fn rows(cluster: &Cluster) -> i64 {
    let client = connect(&cluster.config()).await.unwrap();
    client.query_one("select count(*) from t", &[]).await.unwrap().get(0)
}
