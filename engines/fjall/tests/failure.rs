//! A disk that refuses a write: nothing more is acknowledged, and a restart finds all that was.

use crate::{read_all, record};
use bus::{Bus, BusError, Step, TopicPartition, TopicSpec};
use engine_fjall::{Options, Store};
use std::path::PathBuf;
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
    assert!(matches!(failure, BusError::Engine(_)), "{failure:?}");
    assert_eq!(bus.watermarks(&at).await.unwrap().high, acknowledged, "nothing shows that was not acknowledged");
    for _ in 0..3 {
        let refused = bus.produce(vec![record("t", 0, "small")]).await;
        assert!(matches!(refused, Err(BusError::Engine(_))), "{refused:?}");
        let refused =
            bus.step(Step { group: "g".to_owned(), consumed: vec![(at.clone(), 1)], ..Step::default() }).await;
        assert!(matches!(refused, Err(BusError::Engine(_))), "{refused:?}");
        assert!(matches!(bus.fetch(&at, 0, 1, 1).await, Err(BusError::Engine(_))));
        assert!(matches!(bus.wait(&[(at.clone(), i64::MAX)], Duration::from_secs(60)).await, Err(BusError::Engine(_))));
        assert!(matches!(bus.state_get("s", b"k"), Err(BusError::Engine(_))));
        assert!(matches!(bus.create_topic(&TopicSpec::new("new", 1)).await, Err(BusError::Engine(_))));
        assert!(matches!(member.commit(&[(at.clone(), 1)]).await, Err(BusError::Engine(_))));
        assert!(matches!(member.heartbeat().await, Err(BusError::Engine(_))));
    }
    let ended = bus.run_retention(CancellationToken::new()).await;
    assert!(matches!(ended, Err(BusError::Engine(_))), "the house learns that it has to restart");
    println!("acknowledged {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_poisons_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    bus.produce(vec![record("t", 0, "first")]).await.unwrap();
    drop(bus);
    // Blocks of 512 bytes (POSIX). Without the trap, the signal would end the process before the write could fail.
    let script = "trap '' XFSZ; ulimit -f 16384; exec \"$0\" --exact failure::child --nocapture";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).env(DIR, dir.path());
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find_map(|line| line.split_once("acknowledged ")).unwrap();
    let acknowledged: i64 = line.1.trim().parse().unwrap();

    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    let at = TopicPartition::new("t", 0);
    let high = bus.watermarks(&at).await.unwrap().high;
    assert!(high >= acknowledged.max(1), "{high} records, {acknowledged} acknowledged");
    assert_eq!(read_all(&*bus, &at).await.len() as i64, high);
    bus.produce(vec![record("t", 0, "after the restart")]).await.unwrap();
}
