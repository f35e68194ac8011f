//! How long the supervisor waits before it starts PostgreSQL again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// A cluster that has answered for this long is well again. One that comes up and dies soon after is not, though each of its starts
/// succeeds.
const WELL: Duration = Duration::from_secs(60);

/// Pauses that grow while PostgreSQL keeps dying.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    /// The next pause; the first death is answered at once.
    next: Duration,
}

impl BackOff {
    /// The pause after PostgreSQL has been up for so long; zero when it did not come up at all.
    pub(crate) fn after(&mut self, uptime: Duration) -> Duration {
        if uptime >= WELL {
            self.next = Duration::ZERO;
        }
        let pause = self.next;
        self.next = (pause * 2).clamp(FIRST, LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{BackOff, LONGEST, WELL};
    use std::time::Duration;

    #[test]
    fn a_cluster_that_dies_after_each_start_is_started_less_and_less_often() {
        let mut back_off = BackOff::default();
        let soon = WELL - Duration::from_millis(1);
        let pauses: Vec<u128> = (0..9).map(|_| back_off.after(soon).as_millis()).collect();
        assert_eq!(pauses, [0, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(back_off.after(Duration::ZERO), LONGEST, "a start that fails counts as well");
    }

    #[test]
    fn a_cluster_that_was_well_is_started_at_once() {
        let mut back_off = BackOff::default();
        for _ in 0..5 {
            back_off.after(Duration::ZERO);
        }
        assert_eq!(back_off.after(WELL), Duration::ZERO);
        assert!(back_off.after(Duration::ZERO) < Duration::from_secs(1), "and the pauses grow from the start");
    }
}
