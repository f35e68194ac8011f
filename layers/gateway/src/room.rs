//! Bytes in work: more than the limit would fill the memory, so the door says busy instead.

use crate::Refusal;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one request holds in memory. It grows with what has arrived and with what was made of it, never with what a sender
/// announces; dropped, it is free for others.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for one request: nothing yet.
    pub(crate) const fn new(all: Arc<Semaphore>) -> Self {
        Self { all, held: None }
    }

    /// Takes this many bytes more.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when there is no room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let permits = u32::try_from(bytes).map_err(|_| Refusal::Busy)?;
        let more = Arc::clone(&self.all).try_acquire_many_owned(permits).map_err(|_| Refusal::Busy)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_to_the_limit_and_is_given_back() {
        let all = Arc::new(Semaphore::new(10));
        let mut room = Room::new(Arc::clone(&all));
        room.grow(4).unwrap();
        room.grow(6).unwrap();
        assert_eq!(room.grow(1), Err(Refusal::Busy));
        assert_eq!(Room::new(Arc::clone(&all)).grow(1), Err(Refusal::Busy));
        drop(room);
        assert_eq!(all.available_permits(), 10);
    }
}
