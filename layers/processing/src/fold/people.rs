//! People in memory: decoded while they are busy, read back when they return.

use super::person::{PERSONS, Person};
use crate::ProcessingError;
use bus::limits::MAX_STATE_VALUE_BYTES;
use bus::{Bus, StateChange};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a person's state beyond which it takes in no more: half of what the bus takes. A person of that size is a user id that
/// all visitors share, or somebody's mischief; it must not stop the fold of all others.
const PERSON_BYTES_MAX: usize = MAX_STATE_VALUE_BYTES / 2;

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
    /// Bytes of the state when it was read or written last, and of the signals since: these add less than their own length.
    bytes: usize,
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
            let (person, bytes) = match self.bus.state_get(PERSONS, id.as_bytes())? {
                Some(bytes) => (Person::decode(&bytes)?, bytes.len()),
                None => (Person::default(), 0),
            };
            let id: Arc<str> = Arc::from(id);
            self.held.insert(Arc::clone(&id), Held { id, person, bytes, used: self.round });
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

    /// Makes room for a signal; false when the person is too large to take it in.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn grow(&mut self, id: &str, bytes: usize) -> Result<bool, ProcessingError> {
        self.get(id)?;
        let Some(held) = self.held.get_mut(id).filter(|held| held.bytes + bytes <= PERSON_BYTES_MAX) else {
            return Ok(false);
        };
        held.bytes += bytes;
        Ok(true)
    }

    /// A person as the state keeps it.
    ///
    /// # Errors
    /// When the person cannot be encoded, which none of ours is.
    pub fn encode(&mut self, id: &str) -> Result<StateChange, ProcessingError> {
        let (_, person) = self.get(id)?;
        let value = person.encode()?;
        if let Some(held) = self.held.get_mut(id) {
            held.bytes = value.len();
        }
        let key = Bytes::copy_from_slice(id.as_bytes());
        Ok(StateChange { namespace: PERSONS.to_owned(), key, value: Some(value) })
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
