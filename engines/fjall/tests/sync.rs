//! `Ok` means synced. `kill -9` does not show a missing sync, since the page cache outlives the process; so syncs are counted,
//! by a small library that stands before the C library's.

use crate::record;
use bus::{Bus, Step, TopicPartition, TopicSpec};
use engine_fjall::{Options, Store};
use std::path::{Path, PathBuf};
use std::process::Command;

const DIR: &str = "STOREWIDE_TEST_SYNC_DIR";
const COUNT: &str = "STOREWIDE_TEST_SYNC_COUNT";

/// Syncs of the journal so far.
fn syncs() -> u64 {
    std::fs::read_to_string(std::env::var_os(COUNT).unwrap()).unwrap().parse().unwrap()
}

/// The process whose syncs are counted.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let bus = Store::open(&PathBuf::from(dir), Options::default()).unwrap().bus();
    let (at, name) = (TopicPartition::new("t", 0), "t".to_owned());
    let mut seen = syncs();
    let mut synced = |what: &str| {
        let now = syncs();
        assert!(now > seen, "{what} was acknowledged without a sync");
        seen = now;
    };
    bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    synced("a topic");
    for offset in 1..20 {
        bus.produce(vec![record("t", 0, "v")]).await.unwrap();
        synced("a record");
        bus.step(Step { group: "s".to_owned(), consumed: vec![(at.clone(), offset)], ..Step::default() })
            .await
            .unwrap();
        synced("a step");
    }
    let member = bus.join("g", &[name]).await.unwrap();
    member.commit(&[(at.clone(), 1)]).await.unwrap();
    synced("an offset");
    bus.trim(&at, 10).await.unwrap();
    synced("a trim");
    println!("all synced");
}

fn counting_library(dir: &Path) -> PathBuf {
    let library = dir.join("sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sync.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

#[test]
fn nothing_is_acknowledged_before_it_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sync::child", "--nocapture"])
        .env("LD_PRELOAD", counting_library(dir.path()))
        .env(DIR, dir.path().join("store"))
        .env(COUNT, dir.path().join("count"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("all synced"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
