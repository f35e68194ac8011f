//! People in memory: decoded while they are busy, read back when they return.

use super::person::{PERSONS, Person};
use crate::ProcessingError;
use bus::{Bus, StateChange};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// A bounded set of decoded people over the state.
pub struct People {
    bus: Arc<dyn Bus>,
    held: HashMap<Arc<str>, Held>,
    most: usize,
    round: u64,
}

struct Held {
    id: Arc<str>,
    person: Person,
    used: u64,
}

impl People {
    /// Nobody yet; at most so many between steps.
    pub fn new(bus: Arc<dyn Bus>, most: usize) -> Self {
        Self { bus, held: HashMap::new(), most, round: 0 }
    }

    /// A person, as the step in hand left them.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn get(&mut self, id: &str) -> Result<(Arc<str>, &mut Person), ProcessingError> {
        if !self.held.contains_key(id) {
            let person = match self.bus.state_get(PERSONS, id.as_bytes())? {
                Some(bytes) => Person::decode(&bytes)?,
                None => Person::default(),
            };
            let id: Arc<str> = Arc::from(id);
            self.held.insert(Arc::clone(&id), Held { id, person, used: self.round });
        }
        let round = self.round;
        match self.held.get_mut(id) {
            Some(held) => {
                held.used = round;
                Ok((Arc::clone(&held.id), &mut held.person))
            }
            None => {
                Err(ProcessingError::Damaged { namespace: PERSONS, reason: "a person was lost from memory".to_owned() })
            }
        }
    }

    /// After a commit: lets go of those not used for longest when there are too many.
    pub fn trim(&mut self) {
        self.round += 1;
        if self.held.len() <= self.most {
            return;
        }
        let mut rounds: Vec<u64> = self.held.values().map(|held| held.used).collect();
        let keep = self.most / 2;
        let cut = rounds.len() - keep;
        // Everybody used in this round or before goes; half of the room is left, so that this is rare.
        let (_, last_to_go, _) = rounds.select_nth_unstable(cut.saturating_sub(1));
        let last_to_go = *last_to_go;
        self.held.retain(|_, held| held.used > last_to_go);
    }

    /// Forgets everybody: the step was not committed, or the shards are others'.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// The state change that writes a person.
pub fn change(id: &str, encoded: Bytes) -> StateChange {
    StateChange { namespace: PERSONS.to_owned(), key: Bytes::copy_from_slice(id.as_bytes()), value: Some(encoded) }
}
