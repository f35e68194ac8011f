//! The embedded engine does whatever the in-memory engine does, over random calls and restarts.

use crate::record;
use bus::{Bus, MemoryBus, NewRecord, StateChange, Step, TopicPartition, TopicSpec};
use bytes::Bytes;
use engine_fjall::{FjallBus, Options, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::Arc;

const PARTITIONS: i32 = 3;

fn open(dir: &Path) -> Arc<FjallBus> {
    // Buffers as small as can be, so that tables, chunks below and above the tail, and compactions all come in.
    let options = Options { log_buffer_mib: 1, state_buffer_mib: 1, tail_mib: 1, ..Options::default() };
    Store::open(dir, options).unwrap().bus()
}

fn step(random: &mut StdRng) -> Step {
    let partition = random.random_range(0..PARTITIONS);
    let many = if random.random_ratio(1, 30) { 600 } else { 12 };
    let produce = (0..random.random_range(0..many)).map(|_| {
        let size = if random.random_ratio(1, 200) { 200_000 } else { random.random_range(0..400) };
        let value = random.random_ratio(9, 10).then(|| Bytes::from(vec![random.random(); size]));
        let key = random.random_ratio(1, 2).then(|| Bytes::copy_from_slice(&random.random::<u32>().to_be_bytes()));
        let timestamp_ms = 1_000_000 + random.random_range(0..10_000);
        NewRecord { partition: key.is_none().then_some(partition), key, value, timestamp_ms, ..record("t", 0, "") }
    });
    let produce = produce.collect();
    let state = (0..random.random_range(0..4)).map(|_| StateChange {
        namespace: "s".to_owned(),
        key: Bytes::copy_from_slice(&[random.random_range(0..50)]),
        value: random.random_ratio(3, 4).then(|| Bytes::from(vec![random.random(); 3000])),
    });
    let state = state.collect();
    let consumed = vec![(TopicPartition::new("t", partition), random.random_range(0..1000))];
    Step { group: "g".to_owned(), consumed, state, produce, generation: None }
}

/// Compares everything that can be asked.
async fn compare(real: &dyn Bus, model: &dyn Bus, random: &mut StdRng, what: &str) {
    for partition in 0..PARTITIONS {
        let at = TopicPartition::new("t", partition);
        let ends = model.watermarks(&at).await.unwrap();
        assert_eq!(real.watermarks(&at).await.unwrap(), ends, "{what}");
        assert_eq!(real.committed("g", &at).await.unwrap(), model.committed("g", &at).await.unwrap(), "{what}");
        for _ in 0..4 {
            let from = random.random_range(ends.low - 1..=ends.high + 1);
            let (records, bytes) = (random.random_range(0..700), random.random_range(0..300_000));
            let found = real.fetch(&at, from, records, bytes).await;
            let wanted = model.fetch(&at, from, records, bytes).await;
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => assert!(
                    found == wanted,
                    "{what}: {at} from {from}, {records} records, {bytes} bytes: {} and {}",
                    found.len(),
                    wanted.len()
                ),
                (found, wanted) => assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{what}"),
            }
            let time = random.random_range(999_000..1_011_000);
            let wanted = model.offset_for_time(&at, time).await.unwrap();
            assert_eq!(real.offset_for_time(&at, time).await.unwrap(), wanted, "{what}: {at} at {time}");
        }
    }
    let all = model.state_scan("s", &[], 1000).unwrap();
    assert_eq!(real.state_scan("s", &[], 1000).unwrap(), all, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves_as_the_in_memory_engine() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(seed);
        let (model, mut real) = (MemoryBus::new(), open(dir.path()));
        let spec = TopicSpec::new("t", PARTITIONS);
        model.create_topic(&spec).await.unwrap();
        real.create_topic(&spec).await.unwrap();
        for call in 0..400 {
            let what = format!("seed {seed}, call {call}");
            match random.random_range(0..100) {
                0..2 => {
                    drop(real);
                    real = open(dir.path());
                    compare(&*real, &model, &mut random, &what).await;
                }
                2..6 => {
                    let at = TopicPartition::new("t", random.random_range(0..PARTITIONS));
                    let ends = model.watermarks(&at).await.unwrap();
                    let before = random.random_range(ends.low..=ends.high);
                    model.trim(&at, before).await.unwrap();
                    real.trim(&at, before).await.unwrap();
                }
                6..30 => compare(&*real, &model, &mut random, &what).await,
                _ => {
                    let step = step(&mut random);
                    let wanted = model.step(step.clone()).await.unwrap();
                    assert_eq!(real.step(step).await.unwrap(), wanted, "{what}");
                }
            }
        }
    }
}
