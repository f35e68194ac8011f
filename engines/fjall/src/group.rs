//! A member of a group.

use crate::bus::FjallBus;
use crate::writer::{Enter, Work};
use ::bus::coordinator::Membership;
use ::bus::{BusError, Group, Step, TopicPartition};
use async_trait::async_trait;
use tokio::sync::oneshot;

/// A member of a group; dropping it leaves the group.
pub(crate) struct Member {
    bus: FjallBus,
    group: String,
    topics: Vec<(String, i32)>,
    place: Membership,
}

impl Member {
    /// Joins a group.
    pub(crate) async fn join(bus: FjallBus, group: &str, topics: Vec<(String, i32)>) -> Result<Self, BusError> {
        let place = enter(&bus, group, None, &topics).await?;
        Ok(Self { bus, group: group.to_owned(), topics, place })
    }
}

async fn enter(
    bus: &FjallBus,
    group: &str,
    member: Option<u64>,
    topics: &[(String, i32)],
) -> Result<Membership, BusError> {
    let (reply, place) = oneshot::channel();
    let enter = Enter { group: group.to_owned(), member, topics: topics.to_vec(), reply };
    bus.ask(Work::Enter(enter), place).await
}

#[async_trait]
impl Group for Member {
    fn assignment(&self) -> Vec<TopicPartition> {
        self.place.assignment.clone()
    }

    fn generation(&self) -> u64 {
        self.place.generation
    }

    async fn heartbeat(&mut self) -> Result<bool, BusError> {
        let place = enter(&self.bus, &self.group, Some(self.place.member), &self.topics).await?;
        let changed = place.generation != self.place.generation;
        self.place = place;
        Ok(changed)
    }

    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), BusError> {
        let step = Step {
            group: self.group.clone(),
            consumed: offsets.to_vec(),
            generation: Some(self.place.generation),
            ..Step::default()
        };
        ::bus::Bus::step(&self.bus, step).await.map(drop)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A closed or poisoned bus has no groups any more.
        let _ = self.bus.tell(Work::Leave(std::mem::take(&mut self.group), self.place.member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store};
    use ::bus::{Bus, TopicSpec};

    /// Asks for a place and does not wait for it, as a future does that is dropped.
    async fn enter_and_go(bus: &FjallBus, member: Option<u64>) {
        let (reply, _) = oneshot::channel();
        let topics = vec![("t".to_owned(), 2)];
        bus.tell(Work::Enter(Enter { group: "g".to_owned(), member, topics, reply })).unwrap();
        // What comes after this step comes after the writer was through with the place.
        bus.step(Step::default()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_does_not_wait_leaves_only_if_it_joined() {
        let dir = tempfile::tempdir().unwrap();
        let bus = Store::open(dir.path(), Options::default()).unwrap().bus();
        bus.create_topic(&TopicSpec::new("t", 2)).await.unwrap();
        let mut member = Member::join((*bus).clone(), "g", vec![("t".to_owned(), 2)]).await.unwrap();
        let at = TopicPartition::new("t", 0);
        enter_and_go(&bus, Some(member.place.member)).await;
        member.commit(&[(at.clone(), 1)]).await.unwrap();
        enter_and_go(&bus, None).await;
        assert!(member.heartbeat().await.unwrap(), "another came and went");
        assert_eq!(member.assignment().len(), 2, "and left nothing behind");
        member.commit(&[(at, 2)]).await.unwrap();
    }
}
