//! Single commands of many callers on their way to the store. While few come, each has a transaction of its own, at once. When
//! more come than transactions may be begun at a time, those that wait go together in the next one: what a transaction costs
//! whatever is in it (the round trip, the flush of the log, the start of each statement) is then shared, so that a store under load
//! does more instead of falling behind.
//!
//! Only commands of one kind go together: a transaction stays one wave, and nobody waits for a lock of another kind.

use crate::command::Done;
use crate::error::{Failure, OltpError};
use crate::pool::Oltp;
use crate::prepare::Prepared;
use model::Position;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most lines of a command that goes together with others; one of more goes alone.
const LINES_MAX: usize = 100;
/// Most commands that go together: a caller does not wait for more than so many others.
const TOGETHER_MAX: usize = 64;
/// How long a transaction keeps others from being begun. One that waits for a lock does not hold up what has nothing to do with it.
const HELD: Duration = Duration::from_millis(50);

/// How long those who got an answer together are given to come back together. What they would lose by going apart is more: the start of a
/// transaction costs a millisecond.
const RETURN: Duration = Duration::from_micros(200);
/// Most transactions between two tries whether they come back.
const IN_VAIN_MAX: u32 = 63;

type Answer = Result<(Done, Position), OltpError>;

struct Waiting {
    prepared: Prepared,
    caller: oneshot::Sender<Answer>,
}

/// Commands that wait, and how many transactions keep them waiting.
#[derive(Default)]
pub(crate) struct Gather {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    begun: usize,
}

impl Gather {
    fn queue<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        act(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets others run for a moment, until so many wait; says whether most came. Timers are too coarse for it.
    async fn settle(&self, many: usize) -> bool {
        let since = Instant::now();
        loop {
            let waiting = self.queue(|queue| queue.waiting.len());
            if waiting >= many || since.elapsed() >= RETURN {
                return 2 * waiting >= many;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Whether it is worth waiting for those who got an answer: tills come back with the next order, a shop's visitors do not. After waiting
/// in vain it waits more and more rarely.
#[derive(Default)]
struct Patience {
    in_vain: u32,
    left_out: u32,
}

impl Patience {
    fn waits(&mut self) -> bool {
        let waits = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        waits
    }

    fn learn(&mut self, came: bool) {
        self.in_vain = if came { 0 } else { (self.in_vain * 2 + 1).min(IN_VAIN_MAX) };
        self.left_out = self.in_vain;
    }
}

impl Queue {
    /// Takes the one that waits longest and those that may go with it, or says that one transaction fewer keeps others waiting.
    fn next(&mut self) -> Vec<Waiting> {
        let Some(first) = self.waiting.pop_front() else {
            self.begun -= 1;
            return Vec::new();
        };
        let mut together = vec![first];
        if together[0].prepared.lines <= LINES_MAX {
            let mut rest = VecDeque::with_capacity(self.waiting.len());
            for waiting in self.waiting.drain(..) {
                let fits = together.len() < TOGETHER_MAX && together[0].prepared.goes_with(&waiting.prepared);
                if fits { together.push(waiting) } else { rest.push_back(waiting) }
            }
            self.waiting = rest;
        }
        together
    }
}

impl Prepared {
    /// Whether both may be in one transaction. With a key a lost answer can be asked for again, without one it cannot.
    fn goes_with(&self, other: &Self) -> bool {
        self.kind == other.kind && self.idempotency.is_some() == other.idempotency.is_some() && other.lines <= LINES_MAX
    }
}

impl Oltp {
    /// Runs one command that is ready, with others that wait at the same moment.
    pub(crate) async fn gathered(&self, prepared: Prepared) -> Answer {
        let (caller, answer) = oneshot::channel();
        let begin = self.inner.gather.queue(|queue| {
            queue.waiting.push_back(Waiting { prepared, caller });
            let begin = queue.begun < self.inner.config.gather_transactions.max(1);
            queue.begun += usize::from(begin);
            begin
        });
        if begin {
            self.begin();
        }
        answer
            .await
            .unwrap_or_else(|_| Err(OltpError::Unavailable("the transaction ended without an answer".to_owned())))
    }

    /// Runs what waits, in one transaction after the other, until nothing does.
    fn begin(&self) {
        let oltp = self.clone();
        tokio::spawn(async move {
            let (mut before, mut patience) = (1, Patience::default());
            loop {
                if before > 1 && patience.waits() {
                    patience.learn(oltp.inner.gather.settle(before).await);
                }
                let together = oltp.inner.gather.queue(Queue::next);
                if together.is_empty() {
                    return;
                }
                before = together.len();
                let store = oltp.clone();
                // A task of its own: whatever becomes of it, the next one begins.
                let run = tokio::spawn(async move { store.together(together).await });
                if tokio::time::timeout(HELD, run).await.is_err() {
                    return oltp.begin();
                }
            }
        });
    }

    /// Runs one command that was too slow with others by itself; the pool bounds how many of them run at a time.
    fn alone(&self, prepared: Prepared, caller: oneshot::Sender<Answer>) {
        let oltp = self.clone();
        tokio::spawn(async move { oltp.together(vec![Waiting { prepared, caller }]).await });
    }

    async fn together(&self, waiting: Vec<Waiting>) {
        let (mut items, callers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|of| (of.prepared, of.caller)).unzip();
        (0..).zip(&mut items).for_each(|(index, item)| item.index = index);
        let mut outcomes: Vec<_> = items.iter().map(|_| None).collect();
        let mut position = Position::Wal(0);
        let mut rest = &items[..];
        // Mostly once: a key that came twice has its repeat in a transaction of its own.
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.fitting(rest));
            match self.chunk(chunk, &mut outcomes).await {
                Ok(at) => position = at.unwrap_or(position),
                // What one of them waits for, such as a lock, is nothing to the others. Nothing was committed.
                Err(trouble)
                    if trouble.failure() == Failure::Slow && chunk.len() == callers.len() && chunk.len() > 1 =>
                {
                    return items.into_iter().zip(callers).for_each(|(prepared, caller)| self.alone(prepared, caller));
                }
                Err(trouble) => {
                    let error = self.failed(&trouble);
                    chunk.iter().for_each(|item| outcomes[item.index] = Some(Err(error.clone())));
                }
            }
            rest = after;
        }
        for (caller, outcome) in callers.into_iter().zip(outcomes) {
            let answer = outcome.unwrap_or_else(|| Err(OltpError::Internal("no answer".to_owned())));
            // Whoever asked may have left.
            let _ = caller.send(answer.map(|done| (done, position.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(commands: &[(&'static str, bool, usize)]) -> Queue {
        let waiting = commands.iter().enumerate().map(|(index, (kind, keyed, lines))| {
            let prepared = Prepared {
                index,
                kind,
                order: String::new(),
                unique: String::new(),
                idempotency: keyed.then(String::new),
                conditional: false,
                lines: *lines,
                json: String::new(),
            };
            Waiting { prepared, caller: oneshot::channel().0 }
        });
        Queue { waiting: waiting.collect(), begun: 1 }
    }

    fn rounds(mut queue: Queue) -> Vec<Vec<usize>> {
        let rounds = std::iter::from_fn(|| Some(queue.next()).filter(|together| !together.is_empty()));
        let rounds = rounds.map(|together| together.iter().map(|of| of.prepared.index).collect()).collect();
        assert_eq!(queue.begun, 0);
        rounds
    }

    #[test]
    fn one_kind_goes_together_and_what_waits_longest_goes_first() {
        let mixed =
            [("order", true, 3), ("return", true, 1), ("order", false, 3), ("order", true, 1), ("return", true, 0)];
        assert_eq!(rounds(queue(&mixed)), [vec![0, 3], vec![1, 4], vec![2]]);
    }

    #[test]
    fn waiting_in_vain_becomes_rare_and_is_taken_up_again() {
        let mut patience = Patience::default();
        let mut tries = |rounds, came| {
            let mut tries = 0;
            for _ in 0..rounds {
                if patience.waits() {
                    tries += 1;
                    patience.learn(came);
                }
            }
            tries
        };
        assert_eq!(tries(1_000, true), 1_000);
        assert!(tries(1_000, false) < 25);
        assert!(tries(1_000, true) > 900);
    }

    #[test]
    fn what_is_large_goes_alone_and_nobody_waits_for_too_many() {
        let large =
            [("order", true, LINES_MAX + 1), ("order", true, 1), ("order", true, LINES_MAX + 1), ("order", true, 1)];
        assert_eq!(rounds(queue(&large)), [vec![0], vec![1, 3], vec![2]]);
        let many = rounds(queue(&vec![("order", true, 1); TOGETHER_MAX + 2]));
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [TOGETHER_MAX, 2]);
    }
}
