//! Who reads what: the pure rules of group membership, shared by the engines that have no coordinator of their own.
//!
//! Time comes in from outside, as time since any fixed point. A member dies by silence, but only when another member asks:
//! a slow member without a rival keeps its partitions.

use crate::{BusError, TopicPartition};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a member may be silent, unless configured otherwise.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A member's place in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The member's number, unique in this coordinator.
    pub member: u64,
    /// The generation of the group.
    pub generation: u64,
    /// The partitions it reads.
    pub assignment: Vec<TopicPartition>,
}

#[derive(Debug)]
struct Member {
    /// Topics and their number of partitions.
    topics: Vec<(String, i32)>,
    seen: Duration,
}

#[derive(Debug, Default)]
struct Members {
    generation: u64,
    /// By number, that is by order of joining.
    live: BTreeMap<u64, Member>,
}

/// All groups of an engine.
#[derive(Debug)]
pub struct Coordinator {
    session: Duration,
    groups: BTreeMap<String, Members>,
    /// One counter for all groups: a group that ends and comes again never repeats a generation.
    last_generation: u64,
    last_member: u64,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self::new(SESSION_TIMEOUT)
    }
}

impl Coordinator {
    /// A coordinator without groups; a member dies after `session` of silence.
    #[must_use]
    pub const fn new(session: Duration) -> Self {
        Self { session, groups: BTreeMap::new(), last_generation: 0, last_member: 0 }
    }

    /// Adds a member that reads some topics (name and number of partitions). Starts a new generation.
    pub fn join(&mut self, group: &str, topics: Vec<(String, i32)>, now: Duration) -> Membership {
        self.last_member += 1;
        self.enter(group, self.last_member, topics, now)
    }

    /// Notes that a member lives, and buries those that do not. A member that was taken for dead joins again.
    pub fn heartbeat(&mut self, group: &str, member: u64, topics: &[(String, i32)], now: Duration) -> Membership {
        let Some(found) = self.groups.get_mut(group).and_then(|members| members.live.get_mut(&member)) else {
            return self.enter(group, member, topics.to_vec(), now);
        };
        found.seen = now;
        self.bury(group, now);
        self.membership(group, member)
    }

    /// Takes a member out. Starts a new generation when others remain.
    pub fn leave(&mut self, group: &str, member: u64) {
        let Some(members) = self.groups.get_mut(group) else { return };
        if members.live.remove(&member).is_none() {
            return;
        }
        if members.live.is_empty() {
            self.groups.remove(group);
        } else {
            self.last_generation += 1;
            members.generation = self.last_generation;
        }
    }

    /// Checks that a generation is the group's current one.
    ///
    /// # Errors
    /// [`BusError::StaleGeneration`].
    pub fn check(&self, group: &str, generation: u64) -> Result<(), BusError> {
        let current = self.groups.get(group).map_or(0, |members| members.generation);
        if current == generation && current != 0 {
            return Ok(());
        }
        Err(BusError::StaleGeneration { group: group.to_owned(), held: generation, current })
    }

    fn enter(&mut self, group: &str, member: u64, topics: Vec<(String, i32)>, now: Duration) -> Membership {
        self.bury(group, now);
        self.last_generation += 1;
        let members = self.groups.entry(group.to_owned()).or_default();
        members.live.insert(member, Member { topics, seen: now });
        members.generation = self.last_generation;
        self.membership(group, member)
    }

    /// Takes out the members that were silent for too long.
    fn bury(&mut self, group: &str, now: Duration) {
        let Some(members) = self.groups.get_mut(group) else { return };
        let before = members.live.len();
        members.live.retain(|_, member| now.saturating_sub(member.seen) <= self.session);
        if members.live.len() < before {
            self.last_generation += 1;
            members.generation = self.last_generation;
        }
        if members.live.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Partition `p` of each topic goes to the `p`-th of the members that read it, round and round. So partitions of one
    /// number meet at one member, whatever the topic: topics that are keyed alike are read together.
    fn membership(&self, group: &str, member: u64) -> Membership {
        let empty = Membership { member, generation: 0, assignment: Vec::new() };
        let Some(members) = self.groups.get(group) else { return empty };
        let Some(own) = members.live.get(&member) else { return empty };
        let mut assignment = Vec::new();
        for (topic, partitions) in &own.topics {
            let readers = members.live.iter().filter(|(_, other)| other.topics.iter().any(|(name, _)| name == topic));
            let readers: Vec<u64> = readers.map(|(id, _)| *id).collect();
            let mine = readers.iter().position(|id| *id == member).unwrap_or(0);
            let partitions = (0..*partitions).skip(mine).step_by(readers.len().max(1));
            assignment.extend(partitions.map(|partition| TopicPartition::new(topic.clone(), partition)));
        }
        Membership { member, generation: members.generation, assignment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn topics() -> Vec<(String, i32)> {
        vec![("a".to_owned(), 5), ("b".to_owned(), 2)]
    }

    #[test]
    fn each_partition_has_one_reader() {
        let mut coordinator = Coordinator::default();
        let first = coordinator.join("g", topics(), SECOND);
        assert_eq!(first.assignment.len(), 7);
        let second = coordinator.join("g", topics(), SECOND);
        let third = coordinator.join("g", vec![("a".to_owned(), 5)], SECOND);
        assert!(coordinator.check("g", first.generation).is_err());
        let first = coordinator.heartbeat("g", first.member, &topics(), SECOND);
        let second = coordinator.heartbeat("g", second.member, &topics(), SECOND);
        assert_eq!(first.generation, third.generation);
        let mut all: Vec<_> = [first, second, third].into_iter().flat_map(|m| m.assignment).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn the_silent_die_when_another_asks() {
        let mut coordinator = Coordinator::default();
        let silent = coordinator.join("g", topics(), SECOND);
        let live = coordinator.join("g", topics(), SECOND);
        let later = SECOND + SESSION_TIMEOUT + SECOND;
        assert!(coordinator.check("g", live.generation).is_ok(), "nobody asked yet");
        let live = coordinator.heartbeat("g", live.member, &topics(), later);
        assert_eq!(live.assignment.len(), 7);
        let back = coordinator.heartbeat("g", silent.member, &topics(), later);
        assert!(back.generation > live.generation);
        assert!(!back.assignment.is_empty());
    }

    #[test]
    fn a_generation_never_comes_again() {
        let mut coordinator = Coordinator::default();
        let old = coordinator.join("g", topics(), SECOND);
        coordinator.leave("g", old.member);
        assert!(coordinator.check("g", old.generation).is_err());
        let new = coordinator.join("g", topics(), SECOND);
        assert!(new.generation > old.generation);
        coordinator.leave("g", old.member);
        assert!(coordinator.check("g", new.generation).is_ok(), "leaving twice changes nothing");
    }
}
