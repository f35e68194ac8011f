//! `kill -9` in the middle of steps, and a journal that ends in the middle of one.

use crate::{read_all, record, text};
use bus::{Bus, BusError, StateChange, Step, TopicPartition, TopicSpec};
use bytes::Bytes;
use engine_fjall::{FjallBus, Options, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const DIR: &str = "STOREWIDE_TEST_CRASH_DIR";
const PROCESSORS: i32 = 4;
/// Records of one step, over two topics.
const RECORDS: i64 = 3;

fn group(processor: i32) -> String {
    format!("g{processor}")
}

/// The `n`-th step of a processor, from 0: it moves its offset, its state and two topics by one step.
fn step(processor: i32, n: i64) -> Step {
    let value = |i: i64| Bytes::from(format!("{:0>200}", n * RECORDS + i));
    Step {
        group: group(processor),
        consumed: vec![(TopicPartition::new("in", processor), n + 1)],
        state: vec![StateChange {
            namespace: "s".to_owned(),
            key: Bytes::from(processor.to_string()),
            value: Some(Bytes::from((n + 1).to_string())),
        }],
        produce: (0..RECORDS).flat_map(|i| ["out", "more"].map(|topic| record(topic, processor, value(i)))).collect(),
        generation: None,
    }
}

/// Steps that a processor has behind it. Panics if any part of a step is there without the rest.
async fn steps_done(bus: &FjallBus, processor: i32) -> i64 {
    let done = bus.committed(&group(processor), &TopicPartition::new("in", processor)).await.unwrap().unwrap_or(0);
    let state = bus.state_get("s", processor.to_string().as_bytes()).unwrap();
    assert_eq!(state, (done > 0).then(|| Bytes::from(done.to_string())), "state and offset agree");
    for topic in ["out", "more"] {
        let at = TopicPartition::new(topic, processor);
        assert_eq!(bus.watermarks(&at).await.unwrap().high, done * RECORDS, "{at}: records and offset agree");
        let read: Vec<i64> = read_all(bus, &at).await.iter().map(|record| text(record).parse().unwrap()).collect();
        assert_eq!(read, (0..done * RECORDS).collect::<Vec<_>>(), "{at}");
    }
    done
}

async fn create(bus: &FjallBus) {
    for topic in ["in", "out", "more"] {
        bus.create_topic(&TopicSpec::new(topic, PROCESSORS)).await.unwrap();
    }
}

/// The process that is killed: steps without end, and says each one that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let bus = Store::open(&PathBuf::from(dir), Options { log_buffer_mib: 1, ..Options::default() }).unwrap().bus();
    create(&bus).await;
    let processors = (0..PROCESSORS).map(|processor| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            for n in steps_done(&bus, processor).await.. {
                bus.step(step(processor, n)).await?;
                writeln!(std::io::stderr(), "ack {processor} {}", n + 1).unwrap();
            }
            Ok::<(), BusError>(())
        })
    });
    for processor in processors.collect::<Vec<_>>() {
        processor.await.unwrap().unwrap();
    }
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
            let done = steps_done(&bus, processor).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_journal_shows_no_half_step() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
    create(&bus).await;
    let made = written(&std::fs::read(journal_of(dir.path())).unwrap());
    for n in 0..5 {
        for processor in 0..PROCESSORS {
            bus.step(step(processor, n)).await.unwrap();
        }
    }
    drop(bus);
    let whole = std::fs::read(journal_of(dir.path())).unwrap();
    let mut random = StdRng::seed_from_u64(5);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let cut = random.random_range(made..=written(&whole));
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(journal_of(dir.path()), torn).unwrap();
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        let mut total = 0;
        for processor in 0..PROCESSORS {
            total += steps_done(&bus, processor).await;
        }
        seen.insert(total);
    }
    assert!(seen.len() > 5, "the journal was torn at different steps: {seen:?}");
}
