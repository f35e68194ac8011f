//! Reading again from an offset or a time, and waiting for what comes.

use super::{PATIENCE, read_all, record, text, topic, write};
use crate::{Bus, BusError, NewRecord, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// Any reader reads the same records from any offset, as often as it likes, within its limits.
pub async fn replay_from_offset(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.replay", 1).await;
    let at = TopicPartition::new("suite.replay", 0);
    for call in 0..50 {
        write(&*bus, (0..7).map(|i| record("suite.replay", 0, format!("{}", call * 7 + i))).collect()).await;
    }
    for from in [0, 1, 6, 7, 8, 100, 348, 349, 350] {
        let read = read_all(&*bus, &at, from).await;
        assert_eq!(read.len() as i64, 350 - from);
        assert!(read.iter().zip(from..).all(|(record, i)| record.offset == i && text(record) == i.to_string()));
        assert!(read.iter().all(|record| record.at == at));
    }
    let few = bus.fetch(&at, 3, 10, 1 << 20).await.expect("records are read");
    assert_eq!(few.iter().map(|record| record.offset).collect::<Vec<_>>(), (3..13).collect::<Vec<_>>());
    let one = bus.fetch(&at, 3, 10, 0).await.expect("records are read");
    assert_eq!(one.len(), 1, "at least one record, however little is asked for");
    let some = bus.fetch(&at, 0, 350, 1000).await.expect("records are read");
    assert!((2..350).contains(&some.len()), "about 1,000 bytes are {} records", some.len());
}

/// The first record at or after a time, also where times run backwards.
pub async fn replay_from_time(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.time", 1).await;
    let at = TopicPartition::new("suite.time", 0);
    assert_eq!(bus.offset_for_time(&at, 0).await.expect("topic exists"), None, "an empty partition has no time");
    let times: Vec<i64> = (0..200).map(|i| 1_000_000 + (i / 3) * 100 - if i % 10 == 0 { 5_000 } else { 0 }).collect();
    for call in times.chunks(9) {
        let timed = |time: &i64| NewRecord { timestamp_ms: *time, ..record("suite.time", 0, "v") };
        write(&*bus, call.iter().map(timed).collect()).await;
    }
    let wanted = |from: i64, time: i64| (from..200).find(|i| times[*i as usize] >= time);
    for time in (994_000..1_008_000).step_by(50) {
        assert_eq!(bus.offset_for_time(&at, time).await.expect("topic exists"), wanted(0, time), "time {time}");
    }
    bus.trim(&at, 61).await.expect("trims");
    for time in (994_000..1_008_000).step_by(50) {
        assert_eq!(
            bus.offset_for_time(&at, time).await.expect("topic exists"),
            wanted(61, time),
            "trimmed, time {time}"
        );
    }
}

/// Reading outside the log is an error that says where the log is; reading at its end is empty.
pub async fn offsets_are_checked(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.range", 2).await;
    let at = TopicPartition::new("suite.range", 0);
    assert_eq!(bus.fetch(&at, 0, 10, 1000).await.expect("end of the log"), []);
    write(&*bus, (0..5).map(|i| record("suite.range", 0, i.to_string())).collect()).await;
    assert_eq!(bus.fetch(&at, 5, 10, 1000).await.expect("end of the log"), []);
    for offset in [-1, 6, i64::MAX] {
        match bus.fetch(&at, offset, 10, 1000).await {
            Err(BusError::OffsetOutOfRange { offset: asked, low: 0, high: 5, .. }) => assert_eq!(asked, offset),
            other => panic!("offset {offset}: {other:?}"),
        }
    }
    let unknown = bus.fetch(&TopicPartition::new("suite.range", 2), 0, 1, 1).await;
    assert!(matches!(unknown, Err(BusError::UnknownPartition { .. })), "{unknown:?}");
    let unknown = bus.watermarks(&TopicPartition::new("suite.nowhere", 0)).await;
    assert!(matches!(unknown, Err(BusError::UnknownTopic(_))), "{unknown:?}");
}

/// A wait ends with the first record on any of its partitions, at once when there is one, else when the time is up.
pub async fn waits_wake_and_time_out(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.wait", 3).await;
    topic(&*bus, "suite.wait.other", 1).await;
    let positions: Vec<_> = (0..3)
        .map(|partition| (TopicPartition::new("suite.wait", partition), 0))
        .chain([(TopicPartition::new("suite.wait.other", 0), 0)])
        .collect();
    let short = Duration::from_millis(20);
    assert!(!bus.wait(&positions, short).await.expect("waits"), "nothing comes");
    for target in [("suite.wait", 2), ("suite.wait.other", 0)] {
        let ends = bus.watermarks(&TopicPartition::new(target.0, target.1)).await.expect("topic exists");
        let mut ahead = positions.clone();
        ahead.iter_mut().for_each(|(at, offset)| *offset = if at.topic == target.0 { ends.high } else { 1 });
        let waiter = tokio::spawn({
            let bus = Arc::clone(&bus);
            async move { bus.wait(&ahead, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        write(&*bus, vec![record(target.0, target.1, "wake")]).await;
        assert!(waiter.await.expect("waiter ends well").expect("waits"), "woken by {target:?}");
    }
    assert!(bus.wait(&positions, Duration::ZERO).await.expect("waits"), "a record is there already");
    let past: Vec<_> = positions.iter().map(|(at, _)| (at.clone(), 1)).collect();
    assert!(!bus.wait(&past, short).await.expect("waits"), "nothing beyond");
    let unknown = bus.wait(&[(TopicPartition::new("suite.nowhere", 0), 0)], short).await;
    assert!(matches!(unknown, Err(BusError::UnknownTopic(_))), "{unknown:?}");
}
