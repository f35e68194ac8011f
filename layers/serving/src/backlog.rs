//! What processing has not taken in yet: of that no derived value tells, so no answer is complete beyond it.

use crate::ServingError;
use bus::{Bus, TopicPartition};
use model::topic::{FOLD_GROUP, IDENTIFY_GROUP};
use model::{Timestamp, topic};
use std::time::{Duration, Instant};

/// Time between two looks: one asks for each partition that processing reads.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The time up to which all is taken in.
    pub complete_to: Timestamp,
    /// Records that are not.
    pub records: u64,
}

/// Looks at what the groups of processing have committed.
pub(crate) struct Backlog {
    stages: Vec<(&'static str, TopicPartition)>,
    last: Option<(Instant, Behind)>,
}

impl Backlog {
    pub fn new() -> Self {
        let inputs = topic::identify_inputs();
        let of = |group: &'static str, read: &dyn Fn(&str) -> bool| -> Vec<(&'static str, TopicPartition)> {
            let topics = topic::all().into_iter().filter(|(name, _)| read(name));
            let partitions =
                topics.flat_map(|(name, count)| (0..count).map(move |n| TopicPartition::new(name.clone(), n)));
            partitions.map(|at| (group, at)).collect()
        };
        // In the order of the way: what the first stage has taken in is below the ends that are looked at next.
        let mut stages = of(IDENTIFY_GROUP, &|name| inputs.iter().any(|input| input == name));
        stages.extend(of(FOLD_GROUP, &|name| name == topic::SIGNALS));
        Self { stages, last: None }
    }

    /// What waits now, or did just now. To be called before the ends of derived topics are looked at.
    pub async fn look(&mut self, bus: &dyn Bus, now: Timestamp) -> Result<Behind, ServingError> {
        if let Some((at, behind)) = self.last
            && at.elapsed() < LOOK_AGAIN
        {
            return Ok(behind);
        }
        let began = Instant::now();
        let mut behind = Behind { complete_to: now, records: 0 };
        for (group, at) in &self.stages {
            let ends = bus.watermarks(at).await?;
            let next = bus.committed(group, at).await?.unwrap_or(0).max(ends.low);
            if next < ends.high {
                behind.records += ends.high.abs_diff(next);
                behind.complete_to = behind.complete_to.min(time_at(bus, at, next).await?.unwrap_or(now));
            }
        }
        self.last = Some((began, behind));
        Ok(behind)
    }
}

/// The time of the record at an offset; none when it is gone.
pub(crate) async fn time_at(
    bus: &dyn Bus,
    at: &TopicPartition,
    offset: i64,
) -> Result<Option<Timestamp>, ServingError> {
    let found = bus.fetch(at, offset, 1, 1).await?;
    Ok(found.first().and_then(|record| Timestamp::from_millisecond(record.timestamp_ms).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::{MemoryBus, NewRecord, Step, TopicSpec};

    #[tokio::test]
    async fn the_oldest_record_that_a_stage_has_not_taken_in_tells_the_time() {
        let bus = MemoryBus::new();
        for (name, partitions) in topic::all() {
            bus.create_topic(&TopicSpec::new(name, partitions)).await.unwrap();
        }
        let record = |topic: &str, timestamp_ms| NewRecord {
            topic: topic.to_owned(),
            partition: Some(1),
            value: Some("{}".into()),
            timestamp_ms,
            ..NewRecord::default()
        };
        let now = Timestamp::from_millisecond(9_000).unwrap();
        let look = async || Backlog::new().look(&bus, now).await.unwrap();
        let behind = |ms, records| Behind { complete_to: Timestamp::from_millisecond(ms).unwrap(), records };
        let commit = async |group: &str, topic: &str, next| {
            let consumed = vec![(TopicPartition::new(topic, 1), next)];
            bus.step(Step { group: group.to_owned(), consumed, ..Step::default() }).await.unwrap();
        };
        assert_eq!(look().await, behind(9_000, 0));
        let events = [5_000, 6_000].map(|ms| record(topic::EVENTS, ms));
        let others = [record(topic::SIGNALS, 5_500), record(&topic::crm("payment"), 1_000)];
        bus.produce(events.into_iter().chain(others).collect()).await.unwrap();
        assert_eq!(look().await, behind(5_000, 3), "nobody reads payments");
        commit(IDENTIFY_GROUP, topic::EVENTS, 1).await;
        assert_eq!(look().await, behind(5_500, 2));
        commit(FOLD_GROUP, topic::SIGNALS, 1).await;
        assert_eq!(look().await, behind(6_000, 1));
        commit(IDENTIFY_GROUP, topic::EVENTS, 2).await;
        assert_eq!(look().await, behind(9_000, 0));
    }
}
