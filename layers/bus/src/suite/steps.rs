//! The atomic step and the state.

use super::{read_all, record, text, topic, write};
use crate::{Bus, BusError, StateChange, Step, TopicPartition, limits};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

fn change(key: impl Into<Bytes>, value: Option<&str>) -> StateChange {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    StateChange { namespace: "suite.step".to_owned(), key: key.into(), value }
}

/// A step moves offsets, changes state and writes records together; a bad part leaves no trace of the others.
pub async fn steps_are_whole_or_nothing(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.step.in", 1).await;
    topic(&*bus, "suite.step.out", 2).await;
    let (input, output) = (TopicPartition::new("suite.step.in", 0), TopicPartition::new("suite.step.out", 1));
    write(&*bus, vec![record("suite.step.in", 0, "signal")]).await;
    let good = Step {
        group: "suite-step".to_owned(),
        consumed: vec![(input.clone(), 1)],
        state: vec![change("a", Some("1")), change("b", Some("2")), change("a", Some("3"))],
        produce: vec![record("suite.step.out", 1, "derived")],
        generation: None,
    };
    let bad = [
        Step { produce: vec![record("suite.step.out", 1, "x"), record("suite.nowhere", 0, "y")], ..good.clone() },
        Step { consumed: vec![(input.clone(), 1), (TopicPartition::new("suite.step.in", 7), 1)], ..good.clone() },
        Step { consumed: vec![(input.clone(), -1)], ..good.clone() },
        Step { generation: Some(1), ..good.clone() },
        Step { group: String::new(), ..good.clone() },
        Step {
            state: vec![change("a", Some("1")), change(vec![0; limits::MAX_STATE_KEY_BYTES + 1], None)],
            ..good.clone()
        },
    ];
    for step in bad {
        let refused = bus.step(step.clone()).await;
        assert!(refused.is_err(), "{step:?}");
        assert_eq!(bus.committed("suite-step", &input).await.expect("topic exists"), None, "{step:?}");
        assert_eq!(bus.state_get("suite.step", b"a").expect("reads"), None, "{step:?}");
        assert_eq!(bus.watermarks(&output).await.expect("topic exists").high, 0, "{step:?}");
    }
    let placed = bus.step(good).await.expect("steps");
    assert_eq!((placed.len(), placed[0].partition, placed[0].offset), (1, 1, 0));
    assert_eq!(bus.committed("suite-step", &input).await.expect("topic exists"), Some(1));
    assert_eq!(bus.state_get("suite.step", b"a").expect("reads").as_deref(), Some(&b"3"[..]), "the last change wins");
    assert_eq!(bus.state_get("suite.step", b"b").expect("reads").as_deref(), Some(&b"2"[..]));
    assert_eq!(text(&read_all(&*bus, &output, 0).await[0]), "derived");
    assert_eq!(bus.step(Step::default()).await.expect("an empty step is fine"), []);
}

/// Whoever sees that a step has consumed its input finds the records that it produced.
pub async fn offsets_follow_their_records(bus: Arc<dyn Bus>) {
    const STEPS: i64 = 400;
    topic(&*bus, "suite.seen.in", 1).await;
    topic(&*bus, "suite.seen.out", 1).await;
    let (input, output) = (TopicPartition::new("suite.seen.in", 0), TopicPartition::new("suite.seen.out", 0));
    write(&*bus, (0..STEPS).map(|number| record("suite.seen.in", 0, number.to_string())).collect()).await;
    let (stepping, consumed) = (Arc::clone(&bus), input.clone());
    let steps = tokio::spawn(async move {
        for number in 1..=STEPS {
            let produce = vec![record("suite.seen.out", 0, number.to_string())];
            let consumed = vec![(consumed.clone(), number)];
            let step = Step { group: "suite-seen".to_owned(), consumed, produce, ..Step::default() };
            stepping.step(step).await.expect("steps");
        }
    });
    loop {
        let consumed = bus.committed("suite-seen", &input).await.expect("topic exists").unwrap_or(0);
        let high = bus.watermarks(&output).await.expect("topic exists").high;
        assert!(high >= consumed, "{consumed} were consumed, but only {high} produced records show");
        if consumed == STEPS {
            break;
        }
        tokio::task::yield_now().await;
    }
    steps.await.expect("steps end");
}

/// Whoever sees a step in one partition sees it in all others, in whatever order they are looked at.
pub async fn steps_show_everywhere_at_once(bus: Arc<dyn Bus>) {
    const STEPS: i64 = 200;
    const PARTITIONS: i32 = 64;
    topic(&*bus, "suite.whole", PARTITIONS).await;
    let stepping = Arc::clone(&bus);
    let steps = tokio::spawn(async move {
        for number in 0..STEPS {
            let produce = (0..PARTITIONS).map(|p| record("suite.whole", p, number.to_string())).collect();
            stepping.step(Step { produce, ..Step::default() }).await.expect("steps");
        }
    });
    let (mut seen, mut turn) = (0, 0);
    while seen < STEPS {
        for partition in 0..PARTITIONS {
            let at = TopicPartition::new("suite.whole", (partition + turn) % PARTITIONS);
            let high = bus.watermarks(&at).await.expect("topic exists").high;
            assert!(high >= seen, "{seen} steps were seen elsewhere, but only {high} show in {at}");
            let read = bus.fetch(&at, high, 10, 1 << 20).await.expect("records are read");
            seen = read.last().map_or(high, |record| record.offset + 1);
        }
        turn += 1;
        tokio::task::yield_now().await;
    }
    steps.await.expect("steps end");
}

/// Steps of several processors at once: each one's records stay in its own order, and no step is lost.
pub async fn concurrent_steps_keep_order(bus: Arc<dyn Bus>) {
    const PROCESSORS: usize = 6;
    const STEPS: usize = 30;
    topic(&*bus, "suite.many", 1).await;
    let processors = (0..PROCESSORS).map(|processor| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            for step in 0..STEPS {
                let state = vec![change(format!("many-{processor}"), Some(&step.to_string()))];
                let produce =
                    (0..3).map(|i| record("suite.many", 0, format!("{processor}:{}", step * 3 + i))).collect();
                bus.step(Step { state, produce, ..Step::default() }).await.expect("steps");
                let seen = bus.state_get("suite.step", format!("many-{processor}").as_bytes()).expect("reads");
                assert_eq!(seen.as_deref(), Some(step.to_string().as_bytes()), "a step is seen once it returned");
            }
        })
    });
    for processor in processors.collect::<Vec<_>>() {
        processor.await.expect("processor ends well");
    }
    let read = read_all(&*bus, &TopicPartition::new("suite.many", 0), 0).await;
    assert_eq!(read.len(), PROCESSORS * STEPS * 3);
    for processor in 0..PROCESSORS {
        let own: Vec<String> =
            read.iter().map(text).filter(|text| text.starts_with(&format!("{processor}:"))).collect();
        assert_eq!(own, (0..STEPS * 3).map(|i| format!("{processor}:{i}")).collect::<Vec<_>>());
    }
}

/// State: written, overwritten, deleted, scanned in key order, apart by namespace.
pub async fn state_reads_back(bus: Arc<dyn Bus>) {
    let put = |namespace: &str, key: Vec<u8>, value: Option<Vec<u8>>| StateChange {
        namespace: namespace.to_owned(),
        key: Bytes::from(key),
        value: value.map(Bytes::from),
    };
    let mut state: Vec<StateChange> =
        (0..=255_u8).rev().map(|i| put("suite.s", vec![i, 0, 255], Some(vec![i]))).collect();
    state.push(put("suite.s", Vec::new(), Some(Vec::new())));
    state.push(put("suite.s-", vec![1], Some(vec![1])));
    state.push(put("suite.s.t", vec![1], Some(vec![1])));
    state.push(put("suite.s", vec![9, 0, 255], None));
    bus.step(Step { state, ..Step::default() }).await.expect("steps");

    assert_eq!(bus.state_get("suite.s", &[]).expect("reads"), Some(Bytes::new()), "an empty key and value are kept");
    assert_eq!(bus.state_get("suite.s", &[9, 0, 255]).expect("reads"), None, "deleted");
    assert_eq!(bus.state_get("suite.s", &[1]).expect("reads"), None, "namespaces are apart");
    let all = bus.state_scan("suite.s", &[], 1000).expect("scans");
    assert_eq!(all.len(), 256);
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "in key order");
    let mut paged: BTreeSet<Bytes> = BTreeSet::new();
    let mut from = Vec::new();
    loop {
        let page = bus.state_scan("suite.s", &from, 50).expect("scans");
        let Some((last, _)) = page.last() else { break };
        from = [last, &[0][..]].concat();
        paged.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(paged.len(), 256, "page by page");
    let refused = bus.step(Step { state: vec![put("bad name", vec![1], None)], ..Step::default() }).await;
    assert!(matches!(refused, Err(BusError::Invalid(_))), "{refused:?}");
}
