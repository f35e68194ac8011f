//! `kill -9` in the middle of steps, and a journal that ends in the middle of one.

use crate::{read_all, record};
use bus::suite::survival::{self, PROCESSORS};
use bus::{Bus, TopicPartition, TopicSpec};
use engine_fjall::{Options, Store, StoreError, bench};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIR: &str = "STOREWIDE_TEST_CRASH_DIR";

/// The process that is killed: steps without end, and says each one that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let bus = Store::open(&PathBuf::from(dir), Options { log_buffer_mib: 1, ..Options::default() }).unwrap().bus();
    survival::step_without_end(bus, |processor, n| writeln!(std::io::stderr(), "ack {processor} {n}").unwrap()).await;
}

/// Runs the child until it has acknowledged some steps, kills it, and returns the last step acknowledged to each processor.
fn run_and_kill(dir: &Path, acknowledgements: usize) -> Vec<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = vec![0; PROCESSORS as usize];
    let mut seen = 0;
    // The pipe is read to its end: what was said before the kill counts too.
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(rest) = line.strip_prefix("ack ") else { panic!("the child says: {line}") };
        let Some((processor, n)) = rest.split_once(' ') else { continue };
        let Ok(n) = n.parse() else { continue };
        acknowledged[processor.parse::<usize>().unwrap()] = n;
        seen += 1;
        if seen == acknowledgements {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(seen >= acknowledgements, "the child ended by itself");
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_whole_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(9);
    for round in 0..8 {
        let acknowledgements = random.random_range(1..1500);
        let path = dir.path().to_owned();
        let acknowledged = tokio::task::spawn_blocking(move || run_and_kill(&path, acknowledgements)).await.unwrap();
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        for (processor, acknowledged) in (0..).zip(&acknowledged) {
            let done = survival::steps_done(&*bus, processor).await;
            assert!(done >= *acknowledged, "round {round}: {done} steps done, {acknowledged} acknowledged");
        }
    }
}

/// Where the last written byte of a journal lies; behind it are the zeros that fjall laid out ahead.
fn written(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn journal_of(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

/// Whether a cut goes through the two lengths of a value, which fjall compares by an assertion of debug builds. They stand
/// behind an item's tag, kind, compression, keyspace and length of the key.
fn cuts_lengths(journal: &[u8], cut: usize) -> bool {
    let item = |at: &[u8]| at[0] == 2 && at[1] <= 2 && at[2] <= 1 && at[4..11] == [0; 7];
    (cut - 20..=cut - 14).any(|at| item(&journal[at..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_journal_shows_no_half_step() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    survival::create(&*bus).await;
    let made = written(&std::fs::read(journal_of(dir.path())).unwrap());
    for n in 0..5 {
        for processor in 0..PROCESSORS {
            bus.step(survival::step(processor, n)).await.unwrap();
        }
    }
    drop(bus);
    let whole = std::fs::read(journal_of(dir.path())).unwrap();
    let mut random = StdRng::seed_from_u64(5);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let cut = random.random_range(made..=written(&whole));
        if cuts_lengths(&whole, cut) {
            continue;
        }
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(journal_of(dir.path()), torn).unwrap();
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        let mut total = 0;
        for processor in 0..PROCESSORS {
            total += survival::steps_done(&*bus, processor).await;
        }
        seen.insert(total);
    }
    assert!(seen.len() > 5, "the journal was torn at different steps: {seen:?}");
}

/// A store whose journal ends with a large record and some small ones, and how long it was before and after the large one.
async fn store_with_a_large_record(dir: &Path, after: usize) -> (usize, usize) {
    let bus = Store::open(dir, Options::default()).unwrap().bus();
    bus.create_topic(&TopicSpec::new("t", 1)).await.unwrap();
    for _ in 0..3 {
        bus.produce(vec![record("t", 0, "small")]).await.unwrap();
    }
    let before = written(&std::fs::read(journal_of(dir)).unwrap());
    bus.produce(vec![record("t", 0, bench::noise(100_000))]).await.unwrap();
    let large = written(&std::fs::read(journal_of(dir)).unwrap());
    for _ in 0..after {
        bus.produce(vec![record("t", 0, "small")]).await.unwrap();
    }
    (before, large)
}

/// Takes a page away in the middle of some bytes of the journal, as a power cut does that comes before it was written.
fn lose_a_page(dir: &Path, (begin, end): (usize, usize)) {
    let mut journal = std::fs::read(journal_of(dir)).unwrap();
    let page = (begin + end) / 2 / 4096 * 4096;
    journal[page..page + 4096].fill(0);
    std::fs::write(journal_of(dir), journal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_last_commit_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let large = store_with_a_large_record(dir.path(), 0).await;
    lose_a_page(dir.path(), large);
    let at = TopicPartition::new("t", 0);
    for records in [3, 4] {
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        assert_eq!(read_all(&*bus, &at).await.len(), records, "the acknowledged ones are all there");
        bus.produce(vec![record("t", 0, "after the power cut")]).await.unwrap();
    }
    let kept = dir.path().join(format!("0.jnl.torn-at-{}", large.0));
    assert_eq!(std::fs::read(kept).unwrap().len(), large.1 - large.0, "what was cut off is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_before_a_whole_commit_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let large = store_with_a_large_record(dir.path(), 1).await;
    lose_a_page(dir.path(), large);
    let damaged = std::fs::read(journal_of(dir.path())).unwrap();
    let Err(refused) = Store::open(dir.path(), Options::default()) else { panic!("opens over a hole") };
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    let told = refused.to_string();
    let wanted = format!("the batch at byte {} is damaged, and a whole one follows at byte {}", large.0, large.1);
    assert!(told.contains(&wanted) && told.contains("restore the directory from a copy"), "{told}");
    assert!(std::fs::read(journal_of(dir.path())).unwrap() == damaged, "nothing was cut");
}
