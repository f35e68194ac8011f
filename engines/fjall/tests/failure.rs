//! A disk that refuses a write: nothing more is acknowledged, and a restart finds all that was.

use crate::{read_all, record};
use bus::{Bus, BusError, Step, TopicPartition, TopicSpec};
use engine_fjall::{FjallProfiles, Options, Store};
use serving::ProfileStore;
use serving::placement::{Entry, Placement};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DIR: &str = "STOREWIDE_TEST_FULL_DIR";

/// The process whose files may not grow beyond a limit: writes until that is reached.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let bus = Store::open(&PathBuf::from(dir), Options::default()).unwrap().bus();
    let at = TopicPartition::new("t", 0);
    let mut member = bus.join("g", &["t".to_owned()]).await.unwrap();
    let mut acknowledged = 0;
    let failure = loop {
        match bus.produce(vec![record("t", 0, engine_fjall::bench::noise(100_000))]).await {
            Ok(placed) => acknowledged = placed[0].offset + 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failure, BusError::Poisoned(_)), "{failure:?}");
    assert_eq!(bus.watermarks(&at).await.unwrap().high, acknowledged, "nothing shows that was not acknowledged");
    for _ in 0..3 {
        let refused = bus.produce(vec![record("t", 0, "small")]).await;
        assert!(matches!(refused, Err(BusError::Poisoned(_))), "{refused:?}");
        let refused =
            bus.step(Step { group: "g".to_owned(), consumed: vec![(at.clone(), 1)], ..Step::default() }).await;
        assert!(matches!(refused, Err(BusError::Poisoned(_))), "{refused:?}");
        assert!(matches!(bus.fetch(&at, 0, 1, 1).await, Err(BusError::Poisoned(_))));
        assert!(matches!(
            bus.wait(&[(at.clone(), i64::MAX)], Duration::from_secs(60)).await,
            Err(BusError::Poisoned(_))
        ));
        assert!(matches!(bus.state_get("s", b"k"), Err(BusError::Poisoned(_))));
        assert!(matches!(bus.create_topic(&TopicSpec::new("new", 1)).await, Err(BusError::Poisoned(_))));
        assert!(matches!(member.commit(&[(at.clone(), 1)]).await, Err(BusError::Poisoned(_))));
        assert!(matches!(member.heartbeat().await, Err(BusError::Poisoned(_))));
    }
    let ended = bus.run_retention(CancellationToken::new()).await;
    assert!(matches!(ended, Err(BusError::Poisoned(_))), "the house learns that it has to restart");
    println!("acknowledged {acknowledged}");
}

/// Runs a test of this file in a process whose files may not grow beyond 8 MiB, and returns what it says.
fn under_a_limit(child: &str, dir: &Path) -> String {
    // Blocks of 512 bytes (POSIX). Without the trap, the signal would end the process before the write could fail.
    let script = "trap '' XFSZ; ulimit -f 16384; exec \"$0\" --exact \"$1\" --nocapture";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(child).env(DIR, dir);
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_poisons_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    bus.produce(vec![record("t", 0, "first")]).await.unwrap();
    drop(bus);
    let said = under_a_limit("failure::child", dir.path());
    let line = said.lines().find_map(|line| line.split_once("acknowledged ")).unwrap();
    let acknowledged: i64 = line.1.trim().parse().unwrap();

    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    let at = TopicPartition::new("t", 0);
    let high = bus.watermarks(&at).await.unwrap().high;
    assert!(high >= acknowledged.max(1), "{high} records, {acknowledged} acknowledged");
    assert_eq!(read_all(&*bus, &at).await.len() as i64, high);
    bus.produce(vec![record("t", 0, "after the restart")]).await.unwrap();
}

/// The same process, but for profiles.
#[tokio::test(flavor = "multi_thread")]
async fn profiles_child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let store = Store::open(&dir, Options::default()).unwrap();
    let (bus, profiles) = (store.bus(), FjallProfiles::open(&store, &dir).unwrap());
    let failure = (1..).find_map(|version| {
        let puts = vec![(b"d".to_vec(), engine_fjall::bench::noise(100_000))];
        let entries = vec![Entry { id: vec![1, 1], version: (version, 0), puts, guarded: false }];
        profiles.apply(Placement { entries, ..Placement::default() }).err()
    });
    let failure = failure.unwrap();
    assert!(!failure.is_retryable(), "{failure:?}");
    let refused = bus.fetch(&TopicPartition::new("t", 0), 0, 1, 1).await;
    assert!(matches!(refused, Err(BusError::Poisoned(_))), "the bus knows, before it writes: {refused:?}");
    let ended = bus.run_retention(CancellationToken::new()).await;
    assert!(matches!(ended, Err(BusError::Poisoned(_))), "the house learns that it has to restart");
    println!("poisoned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_of_profiles_poisons_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    FjallProfiles::open(&store, dir.path()).unwrap();
    store.bus().create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    drop(store);
    assert!(under_a_limit("failure::profiles_child", dir.path()).contains("poisoned"));
}
