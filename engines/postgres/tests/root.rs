use engine_postgres::{Cluster, PostgresError, Settings};
use std::os::unix::fs::PermissionsExt;

/// Root's home is closed to the account that PostgreSQL runs as; so is any directory of mode 0700.
#[tokio::test]
async fn a_closed_directory_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::Builder::new().prefix("storewide-pg-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::start(Settings::new(directory.path().join("inside"))).await.err().unwrap();
    assert!(matches!(&error, PostgresError::Closed { closed, .. } if closed == directory.path()), "{error}");
    assert!(error.to_string().contains("chmod o+x"));
}
