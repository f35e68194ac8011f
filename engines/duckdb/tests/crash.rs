//! kill -9 in the middle of commits: rows and positions stay one.

use crate::rows::{ask, batch, open, put, row, store};
use bus::TopicPartition;
use serving::Analytics;
use serving::value::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set in the child, which then writes until it is killed.
const FOLDER: &str = "STOREWIDE_TEST_CRASH_FOLDER";

/// One store and one event a commit; commit number `n` reaches offset `n + 1`.
async fn write_for_ever(folder: &std::path::Path) {
    let engine = open(folder).await;
    let mut next = engine.positions().await.unwrap().values().copied().max().unwrap_or(0);
    loop {
        let id = u128::try_from(next).unwrap();
        let event = row("events", &[("message_id", Value::text(next.to_string())), ("name", Value::text("page_view"))]);
        let ops =
            [put("stores", (next + 1, 0), true, vec![store(id, "x")]), put("events", (0, next), false, vec![event])];
        engine.apply(batch(ops, next + 1)).await.unwrap();
        next += 1;
        if next % 50 == 0 {
            engine.checkpoint().await.unwrap();
        }
    }
}

#[tokio::test]
async fn killed_while_it_commits() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_for_ever(folder.as_ref()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..6_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::killed_while_it_commits", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Different places in the life of the file: the log grows past some bytes, then a little longer.
        let log = folder.path().join("analytics.duckdb.wal");
        let began = std::time::Instant::now();
        while std::fs::metadata(&log).map_or(0, |log| log.len()) < 4_000 * (round + 1)
            && began.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let engine = open(folder.path()).await;
        let reached = engine.positions().await.unwrap().get(&TopicPartition::new("crm.store", 0)).copied().unwrap_or(0);
        assert!(reached >= last, "{reached} < {last}");
        last = reached;
        let expected = format!("[[{reached},{reached},{reached},{reached}]]");
        let counted = "select (select count(*) from stores), (select count(distinct store_id) from stores),
            (select count(*) from events), (select count(distinct message_id) from events)";
        assert_eq!(ask(&engine, counted).await, expected, "round {round}");
    }
    assert!(last > 0, "no commit was made");
}
