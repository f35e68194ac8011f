use engine_postgres::testing::connect;
use engine_postgres::{Cluster, Version, external};

/// The value that a setting has in a new session.
async fn shown(config: &tokio_postgres::Config, setting: &str) -> String {
    let row = connect(config).await.unwrap().query_one(&format!("show {setting}"), &[]).await.unwrap();
    row.get(0)
}

async fn a_url_connects_and_passes_the_check(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
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

async fn commits_are_on_disk_whatever_the_server_says(version: Version) {
    let cluster = Cluster::temporary(version).await.unwrap();
    let admin = connect(&cluster.config()).await.unwrap();
    let url = cluster.url("postgres");
    admin.batch_execute("alter role storewide set synchronous_commit = off").await.unwrap();
    let config = external(&url).await.unwrap();
    assert_eq!(shown(&config, "synchronous_commit").await, "on");
    let config = external(&format!("{url}&options=-c%20synchronous_commit%3Doff%20-c%20jit%3Don")).await.unwrap();
    assert_eq!(shown(&config, "synchronous_commit").await, "on", "not even when the URL says so");
    assert_eq!(shown(&config, "jit").await, "on", "other options stay");

    admin.batch_execute("alter role storewide set synchronous_commit = remote_apply").await.unwrap();
    let stronger = external(&url).await.unwrap();
    admin.batch_execute("alter role storewide set synchronous_commit = off").await.unwrap();
    assert_eq!(shown(&stronger, "synchronous_commit").await, "remote_apply", "kept, also when it is changed later");

    admin.batch_execute("alter system set fsync = off").await.unwrap();
    admin.batch_execute("select pg_reload_conf()").await.unwrap();
    let mut refused = external(&url).await;
    // The reload reaches new sessions in its own time.
    for _ in 0..3000 {
        if refused.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        refused = external(&url).await;
    }
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("alter system set fsync = on"), "{refused}");
}

on_both!(a_url_connects_and_passes_the_check, commits_are_on_disk_whatever_the_server_says);
