//! What is left when a bus ends and its place is opened again: after an orderly end, and after one in the middle of steps.
//!
//! A suite cannot kill its own process. An engine's test does, with the parts given here: a child process runs
//! [`step_without_end`] and is killed; the parent opens the place again and asks [`steps_done`].

use super::{PATIENCE, read_all, record, text, topic};
use crate::{Bus, StateChange, Step, TopicPartition, TopicSpec};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Processors that step at once, each on a partition of its own.
pub const PROCESSORS: i32 = 4;
/// Records of one step, in each of two topics.
const RECORDS: i64 = 3;
const INPUT: &str = "suite.cut.in";
const OUTPUTS: [&str; 2] = ["suite.cut.out", "suite.cut.more"];
const NAMESPACE: &str = "suite.cut";

/// All that was acknowledged is found again: topics, records, ends, offsets and state; writing goes on where it stood.
pub async fn a_restart_finds_everything(open: impl AsyncFn() -> Arc<dyn Bus>) {
    let at = |partition| TopicPartition::new("suite.kept", partition);
    let spec = TopicSpec {
        retention: Some(Duration::from_secs(60)),
        retention_bytes: Some(1 << 30),
        ..TopicSpec::new("suite.kept", 3)
    };
    let key = |round: i64| Bytes::copy_from_slice(&round.to_be_bytes());
    for round in 0..4 {
        let bus = open().await;
        bus.create_topic(&spec).await.expect("topic is created");
        assert!(bus.topics().await.expect("topics are listed").contains(&spec), "retention included");
        let step = Step {
            group: "suite-kept".to_owned(),
            consumed: vec![(at(0), (round + 1) * 10)],
            state: vec![StateChange { namespace: "suite.kept".to_owned(), key: key(round), value: Some(key(round)) }],
            produce: (0..20)
                .map(|i| record("suite.kept", i % 2, (round * 10 + i64::from(i / 2)).to_string()))
                .collect(),
            generation: None,
        };
        bus.step(step).await.expect("steps");
        // Partition 0 is trimmed in the middle, partition 1 is emptied, partition 2 never had anything.
        bus.trim(&at(0), round * 10 + 5).await.expect("trims");
        bus.trim(&at(1), (round + 1) * 10).await.expect("trims");
        drop(bus);

        let bus = open().await;
        let high = (round + 1) * 10;
        for (partition, low, high) in [(0, round * 10 + 5, high), (1, high, high), (2, 0, 0)] {
            let ends = bus.watermarks(&at(partition)).await.expect("topic exists");
            assert_eq!((ends.low, ends.high), (low, high), "round {round}, partition {partition}");
            let read: Vec<String> = read_all(&*bus, &at(partition), low).await.iter().map(text).collect();
            assert_eq!(read, (low..high).map(|i| i.to_string()).collect::<Vec<_>>());
        }
        assert_eq!(bus.committed("suite-kept", &at(0)).await.expect("topic exists"), Some(high));
        assert_eq!(bus.state_scan("suite.kept", &[], 100).expect("scans").len() as i64, round + 1);
    }
}

/// Steps that nobody waits for any more when their bus ends are there whole, or not at all; the acknowledged ones are there.
pub async fn steps_cut_short_are_whole(open: impl AsyncFn() -> Arc<dyn Bus>) {
    let mut acknowledged = vec![0; PROCESSORS as usize];
    for round in 1..4 {
        let bus = open().await;
        let (told, mut steps_told) = tokio::sync::mpsc::unbounded_channel();
        let tell = move |processor, n| told.send((processor, n)).expect("all that is told is heard");
        let steps = tokio::spawn(step_without_end(bus, tell));
        let mut seen = 0;
        // Until all who could tell are gone, and their bus with them.
        while let Some((processor, n)) =
            tokio::time::timeout(PATIENCE, steps_told.recv()).await.expect("steps go on, or end")
        {
            acknowledged[processor as usize] = n;
            seen += 1;
            if seen == round * 37 {
                steps.abort();
            }
        }
        assert!(seen >= round * 37, "the steps ended by themselves");
        let bus = open().await;
        for (processor, acknowledged) in (0..).zip(&acknowledged) {
            let done = steps_done(&*bus, processor).await;
            assert!(done >= *acknowledged, "{done} steps done, {acknowledged} acknowledged");
        }
    }
}

/// Creates the topics of the steps.
pub async fn create(bus: &dyn Bus) {
    for name in [INPUT].iter().chain(&OUTPUTS) {
        topic(bus, name, PROCESSORS).await;
    }
}

/// The `n`-th step of a processor, from 0: it moves its offset, its state and two topics by one step.
#[must_use]
pub fn step(processor: i32, n: i64) -> Step {
    let value = |i: i64| format!("{:0>200}", n * RECORDS + i);
    let change = Some(Bytes::from((n + 1).to_string()));
    Step {
        group: group(processor),
        consumed: vec![(TopicPartition::new(INPUT, processor), n + 1)],
        state: vec![StateChange { namespace: NAMESPACE.to_owned(), key: key(processor), value: change }],
        produce: (0..RECORDS).flat_map(|i| OUTPUTS.map(|topic| record(topic, processor, value(i)))).collect(),
        generation: None,
    }
}

/// Steps with all processors until the first failure, and tells how many steps of which were acknowledged.
pub async fn step_without_end(bus: Arc<dyn Bus>, tell: impl Fn(i32, i64) + Clone + Send + Sync + 'static) {
    create(&*bus).await;
    let mut processors = JoinSet::new();
    for processor in 0..PROCESSORS {
        let (bus, tell) = (Arc::clone(&bus), tell.clone());
        processors.spawn(async move {
            for n in steps_done(&*bus, processor).await.. {
                bus.step(step(processor, n)).await.expect("steps");
                tell(processor, n + 1);
            }
        });
    }
    while let Some(ended) = processors.join_next().await {
        ended.expect("processor ends well");
    }
}

/// Steps that a processor has behind it. Panics if any part of a step is there without the rest.
pub async fn steps_done(bus: &dyn Bus, processor: i32) -> i64 {
    let input = TopicPartition::new(INPUT, processor);
    let done = bus.committed(&group(processor), &input).await.expect("topic exists").unwrap_or(0);
    let state = bus.state_get(NAMESPACE, &key(processor)).expect("reads");
    assert_eq!(state, (done > 0).then(|| Bytes::from(done.to_string())), "state and offset agree");
    for topic in OUTPUTS {
        let at = TopicPartition::new(topic, processor);
        let high = bus.watermarks(&at).await.expect("topic exists").high;
        assert_eq!(high, done * RECORDS, "{at}: records and offset agree");
        let read: Vec<i64> =
            read_all(bus, &at, 0).await.iter().filter_map(|record| text(record).parse().ok()).collect();
        assert_eq!(read, (0..done * RECORDS).collect::<Vec<_>>(), "{at}");
    }
    done
}

fn group(processor: i32) -> String {
    format!("suite-cut-{processor}")
}

fn key(processor: i32) -> Bytes {
    Bytes::from(processor.to_string())
}
