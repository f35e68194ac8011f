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
