//! Where capture stands in the log, and which changes it has put on the bus already.

use serde::{Deserialize, Serialize};

/// How far the bus holds the store's changes. Stored with every batch, in the same atomic commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Every transaction whose commit record starts before this is on the bus, whole.
    pub lsn: u64,
    /// The transaction that is on the bus in part: start of its commit record, and the number of changes that are there.
    pub partial: Option<(u64, u64)>,
}

/// Follows the stream, from a stored position on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    position: Position,
    open: Option<Open>,
}

/// The transaction under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    lsn: u64,
    next_seq: u64,
    /// Changes below this are on the bus.
    known: u64,
}

/// The stream does not make sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder(pub(crate) &'static str);

impl Cursor {
    pub(crate) fn new(position: Position) -> Self {
        Self { position, open: None }
    }

    /// A transaction starts, by the start of its commit record.
    pub(crate) fn begin(&mut self, lsn: u64) -> Result<(), OutOfOrder> {
        if self.open.is_some() {
            return Err(OutOfOrder("a transaction begins inside another"));
        }
        let known = match self.position.partial {
            _ if lsn < self.position.lsn => u64::MAX,
            Some((partial, known)) if partial == lsn => known,
            _ => 0,
        };
        self.open = Some(Open { lsn, next_seq: 0, known });
        Ok(())
    }

    /// The next change: its version, or nothing when it is on the bus already.
    pub(crate) fn change(&mut self) -> Result<Option<(u64, u64)>, OutOfOrder> {
        let open = self.open.as_mut().ok_or(OutOfOrder("a change outside a transaction"))?;
        let seq = open.next_seq;
        open.next_seq += 1;
        Ok((seq >= open.known).then_some((open.lsn, seq)))
    }

    /// The transaction is complete, by the end of its commit record.
    pub(crate) fn commit(&mut self, end_lsn: u64) -> Result<(), OutOfOrder> {
        self.open.take().ok_or(OutOfOrder("a commit without a transaction"))?;
        self.advance(end_lsn);
        Ok(())
    }

    /// The server has nothing more up to here. Says nothing while a transaction is under way.
    pub(crate) fn idle(&mut self, lsn: u64) {
        if self.open.is_none() {
            self.advance(lsn);
        }
    }

    fn advance(&mut self, lsn: u64) {
        if lsn > self.position.lsn {
            // After a restart the server may repeat what is there, or speak of itself, before it sends the rest of the
            // transaction that is there in part.
            let partial = self.position.partial.filter(|(start, _)| *start >= lsn);
            self.position = Position { lsn, partial };
        }
    }

    /// What to store with the changes seen so far.
    pub(crate) fn position(&self) -> Position {
        match self.open {
            Some(open) if open.known != u64::MAX && open.next_seq > open.known => {
                Position { lsn: self.position.lsn, partial: Some((open.lsn, open.next_seq)) }
            }
            _ => self.position.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Streams transactions from a position, as PostgreSQL would, and stores after every `batch` changes until `crash` changes
    /// were seen; returns what was stored.
    fn play(from: &Position, sizes: &[u64], batch: usize, crash: usize, bus: &mut Vec<(u64, u64)>) -> Position {
        let (mut cursor, mut stored, mut pending, mut seen) = (Cursor::new(from.clone()), from.clone(), Vec::new(), 0);
        for (i, size) in sizes.iter().enumerate() {
            let (start, end) = (i as u64 * 100 + 10, i as u64 * 100 + 20);
            // The server may repeat what it was not told of; it never leaves out what was not acknowledged.
            if end <= from.lsn.saturating_sub(100) {
                continue;
            }
            cursor.begin(start).unwrap();
            for _ in 0..*size {
                pending.extend(cursor.change().unwrap());
                seen += 1;
                if seen >= crash {
                    return stored;
                }
                if seen % batch == 0 {
                    bus.append(&mut pending);
                    stored = cursor.position();
                }
            }
            cursor.commit(end).unwrap();
        }
        bus.append(&mut pending);
        cursor.position()
    }

    proptest! {
        #[test]
        fn each_change_once_whatever_crashes(sizes in prop::collection::vec(0_u64..7, 1..8), batch in 1_usize..5, crashes in prop::collection::vec(1_usize..20, 0..6)) {
            let (mut bus, mut position) = (Vec::new(), Position::default());
            for crash in crashes {
                position = play(&position, &sizes, batch, crash, &mut bus);
            }
            play(&position, &sizes, batch, usize::MAX, &mut bus);
            let wanted: Vec<(u64, u64)> =
                sizes.iter().enumerate().flat_map(|(i, size)| (0..*size).map(move |seq| (i as u64 * 100 + 10, seq))).collect();
            prop_assert_eq!(bus, wanted);
        }
    }

    #[test]
    fn idle_waits_for_the_commit() {
        let mut cursor = Cursor::new(Position::default());
        cursor.begin(10).unwrap();
        cursor.idle(50);
        assert_eq!(cursor.position().lsn, 0);
        cursor.commit(20).unwrap();
        cursor.idle(50);
        assert_eq!(cursor.position(), Position { lsn: 50, partial: None });
    }
}
