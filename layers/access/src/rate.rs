//! How often a key may ask: a token bucket for each, in memory. A process counts what it answers itself, so that a key may ask that much
//! of each replica. The sum is pure; time comes in from outside.

use runtime::auth::Rate;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Most buckets kept; full ones are forgotten first, since a new one is full.
const KEPT_MAX: usize = 4096;

/// What a bucket says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How long to wait before the request may come again; zero for one that may pass.
    pub(crate) wait: Duration,
    /// Requests that may come at once now.
    pub(crate) left: u64,
    /// When the bucket will be full again, if nothing comes.
    pub(crate) full_in: Duration,
}

/// The time at which a bucket is full again is all there is to know of it: each request moves it on by what it costs.
fn take(full_at: &mut Duration, now: Duration, cost: u64, rate: Rate) -> Verdict {
    let (per_s, burst) = (u64::from(rate.per_s.max(1)), u64::from(rate.burst.max(1)));
    let time_of = |requests: u64| Duration::from_nanos(requests.saturating_mul(1_000_000_000) / per_s);
    let (start, room) = ((*full_at).max(now), time_of(burst));
    // What costs more than all that the bucket holds must pass, too: it waits for a full one, and leaves a debt.
    let needed = time_of(cost.min(burst));
    let wait = (start + needed).saturating_sub(now + room);
    if wait.is_zero() {
        *full_at = start + time_of(cost);
    }
    let full_in = (*full_at).saturating_sub(now);
    let left = room.saturating_sub(full_in).as_nanos() * u128::from(per_s) / 1_000_000_000;
    Verdict { wait, left: u64::try_from(left).unwrap_or(u64::MAX), full_in }
}

/// The buckets of all keys.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    full_at: Mutex<HashMap<Uuid, Duration>>,
}

impl Buckets {
    /// Takes so much from a key's bucket, if it is there.
    pub(crate) fn take(&self, key: Uuid, now: Duration, cost: u64, rate: Rate) -> Verdict {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_MAX && !all.contains_key(&key) {
            all.retain(|_, full_at| *full_at > now);
        }
        take(all.entry(key).or_insert(now), now, cost, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_s: 10, burst: 5 };
    const START: Duration = Duration::from_secs(100);

    #[test]
    fn a_burst_passes_and_then_one_a_tenth_of_a_second() {
        let (buckets, key) = (Buckets::default(), Uuid::nil());
        for left in [4, 3, 2, 1, 0] {
            let verdict = buckets.take(key, START, 1, RATE);
            assert_eq!((verdict.wait, verdict.left), (Duration::ZERO, left));
        }
        let refused = buckets.take(key, START, 1, RATE);
        assert_eq!((refused.wait, refused.left), (Duration::from_millis(100), 0));
        assert_eq!(refused.full_in, Duration::from_millis(500));
        assert_eq!(buckets.take(key, START + refused.wait, 1, RATE).wait, Duration::ZERO);
        assert_eq!(buckets.take(Uuid::max(), START, 1, RATE).left, 4, "each key has its own");
        assert_eq!(
            buckets.take(key, START + Duration::from_secs(9), 1, RATE).left,
            4,
            "it never holds more than a burst"
        );
    }

    #[test]
    fn what_is_larger_than_the_bucket_leaves_a_debt() {
        let mut full_at = START;
        assert_eq!(take(&mut full_at, START, 50, RATE).wait, Duration::ZERO);
        assert_eq!(take(&mut full_at, START, 1, RATE).wait, Duration::from_millis(4_600));
        let (mut a, mut b) = (START, START);
        take(&mut a, START, 3, RATE);
        assert_eq!(take(&mut a, START, 50, RATE).wait, Duration::from_millis(300), "it waits for a full one");
        assert_eq!(take(&mut b, START, u64::MAX, Rate { per_s: 1, burst: 1 }).wait, Duration::ZERO);
    }

    /// Over any time no more passes than the burst and what the time brings.
    #[test]
    fn no_order_of_requests_gets_more() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut full_at, mut now, mut passed) = (START, START, 0);
        for _ in 0..10_000 {
            now += Duration::from_millis(random(60));
            let cost = 1 + random(3);
            if take(&mut full_at, now, cost, RATE).wait.is_zero() {
                passed += u128::from(cost);
            }
            let allowed = 5 + (now - START).as_millis() * 10 / 1000;
            assert!(passed <= allowed, "{passed} of {allowed}");
        }
        assert!(passed > 2_500, "{passed}");
    }
}
