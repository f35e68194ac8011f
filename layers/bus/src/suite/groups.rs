//! Groups: sharing, resuming, and keeping the late ones out.

use super::{PATIENCE, SHORT_SESSION, record, topic, write};
use crate::{Bus, BusError, Group, StateChange, Step, TopicPartition};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Members share all partitions without overlap, take over from those who leave, and resume where the group stands.
pub async fn groups_share_and_resume(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.shared", 5).await;
    let topics = ["suite.shared".to_owned()];
    let unknown = bus.join("suite-shared", &["suite.nowhere".to_owned()]).await.map(drop);
    assert!(matches!(unknown, Err(BusError::UnknownTopic(_))), "{unknown:?}");

    let mut first = bus.join("suite-shared", &topics).await.expect("joins");
    assert_eq!(first.assignment().len(), 5);
    let alone = first.generation();
    let mut second = bus.join("suite-shared", &topics).await.expect("joins");
    settle(&mut [&mut first, &mut second]).await;
    assert!(first.generation() > alone);
    let shares = [first.assignment(), second.assignment()];
    assert!(shares.iter().all(|share| (2..=3).contains(&share.len())), "{shares:?}");
    assert_eq!(shares.iter().flatten().collect::<BTreeSet<_>>().len(), 5, "each partition has one reader");

    let mine = second.assignment();
    write(&*bus, mine.iter().map(|at| record(&at.topic, at.partition, "v")).collect()).await;
    assert_eq!(bus.committed("suite-shared", &mine[0]).await.expect("topic exists"), None);
    second.commit(&[(mine[0].clone(), 1)]).await.expect("commits");
    drop(second);
    settle(&mut [&mut first]).await;
    assert_eq!(first.assignment().len(), 5, "the rest goes to those who stay");
    assert_eq!(bus.committed("suite-shared", &mine[0]).await.expect("topic exists"), Some(1));
    assert_eq!(bus.committed("suite-shared", &mine[1]).await.expect("topic exists"), None);
    assert_eq!(bus.committed("suite-other", &mine[0]).await.expect("topic exists"), None, "groups are apart");
    let nowhere = [(TopicPartition::new("suite.shared", 9), 1)];
    assert!(matches!(first.commit(&nowhere).await, Err(BusError::UnknownPartition { .. })));
}

/// A member that missed a change of generation commits nothing, alone or in a step, until it has caught up.
pub async fn stale_generations_are_refused(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.stale", 2).await;
    let topics = ["suite.stale".to_owned()];
    let mut late = bus.join("suite-stale", &topics).await.expect("joins");
    let at = late.assignment()[0].clone();
    late.commit(&[(at.clone(), 1)]).await.expect("the current generation commits");
    let held = late.generation();
    let mut other = bus.join("suite-stale", &topics).await.expect("joins");

    let refused = late.commit(&[(at.clone(), 2)]).await;
    assert!(matches!(refused, Err(BusError::StaleGeneration { held: h, .. }) if h == held), "{refused:?}");
    let step = |generation| Step {
        group: "suite-stale".to_owned(),
        consumed: vec![(at.clone(), 3)],
        state: vec![StateChange {
            namespace: "suite.stale".to_owned(),
            key: Bytes::from_static(b"k"),
            value: Some(Bytes::from_static(b"v")),
        }],
        produce: vec![record("suite.stale", 0, "derived")],
        generation: Some(generation),
    };
    let refused = bus.step(step(held)).await;
    assert!(matches!(refused, Err(BusError::StaleGeneration { .. })), "{refused:?}");
    assert_eq!(bus.committed("suite-stale", &at).await.expect("topic exists"), Some(1));
    assert_eq!(bus.state_get("suite.stale", b"k").expect("reads"), None);
    assert_eq!(bus.watermarks(&TopicPartition::new("suite.stale", 0)).await.expect("topic exists").high, 0);

    settle(&mut [&mut late, &mut other]).await;
    bus.step(step(late.generation())).await.expect("caught up");
    assert_eq!(bus.committed("suite-stale", &at).await.expect("topic exists"), Some(3));
    drop((late, other));
    let refused = bus.step(step(held)).await;
    assert!(matches!(refused, Err(BusError::StaleGeneration { .. })), "nobody is left: {refused:?}");
}

/// A member that falls silent loses its partitions to the live ones, and finds its place again when it comes back.
pub async fn dead_members_are_evicted(bus: Arc<dyn Bus>) {
    topic(&*bus, "suite.dead", 4).await;
    let topics = ["suite.dead".to_owned()];
    let mut silent = bus.join("suite-dead", &topics).await.expect("joins");
    let mut live = bus.join("suite-dead", &topics).await.expect("joins");
    let all = async {
        while live.assignment().len() < 4 {
            tokio::time::sleep(SHORT_SESSION / 10).await;
            live.heartbeat().await.expect("beats");
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the silent member is evicted");
    let at = silent.assignment()[0].clone();
    let refused = silent.commit(&[(at.clone(), 1)]).await;
    assert!(matches!(refused, Err(BusError::StaleGeneration { .. })), "{refused:?}");
    live.commit(&[(at, 1)]).await.expect("the live member commits");
    assert!(silent.heartbeat().await.expect("beats"), "it has to take over a new assignment");
    assert!(!silent.assignment().is_empty(), "it is back");
}

/// Lets members beat until all are in one generation.
async fn settle(members: &mut [&mut Box<dyn Group>]) {
    let settled = async {
        loop {
            let mut changed = false;
            for member in members.iter_mut() {
                changed |= member.heartbeat().await.expect("beats");
            }
            let generations: BTreeSet<u64> = members.iter().map(|member| member.generation()).collect();
            if !changed && generations.len() == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the group settles");
}
