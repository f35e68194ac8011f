//! How long to wait before the next attempt. The same action and attempt always wait equally long.

use std::time::Duration;
use uuid::Uuid;

/// Longest wait of ours.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// Longest wait that a receiver may ask for.
const ASKED_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The wait after a failed attempt, counted from 1: `first` times four to the number of earlier failures, one hour at most, of
/// which between half and all is waited, so that actions that failed together do not come back together. A longer wait that the
/// receiver asked for is kept, up to a day.
#[must_use]
pub fn wait(first: Duration, action: Uuid, attempt: u32, asked: Option<Duration>) -> Duration {
    let factor = 4_u32.saturating_pow(attempt.saturating_sub(1));
    let full = first.saturating_mul(factor).min(WAIT_MAX);
    let half = full / 2;
    // 0 to 65,535, spread evenly over actions and attempts.
    let share = u32::from((mix(action.as_u128(), attempt) >> 48) as u16);
    let ours = half + half * share / 65_535;
    ours.max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// The finaliser of SplitMix64: each bit of the input moves each bit of the result.
const fn mix(action: u128, attempt: u32) -> u64 {
    let mut x = (action as u64) ^ ((action >> 64) as u64) ^ (attempt as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_fourfold_up_to_an_hour_and_stay_in_their_range() {
        let first = Duration::from_secs(2);
        for attempt in 1..=60 {
            let full = Duration::from_secs(2 * 4_u64.saturating_pow(attempt - 1).min(1_800));
            for action in [Uuid::from_u128(1), Uuid::from_u128(u128::MAX), Uuid::now_v7()] {
                let wait = wait(first, action, attempt, None);
                assert!(wait >= full / 2 && wait <= full, "attempt {attempt}: {wait:?} of {full:?}");
            }
        }
    }

    #[test]
    fn actions_that_failed_together_come_back_apart() {
        let waits: std::collections::BTreeSet<Duration> =
            (0..100).map(|n| wait(Duration::from_secs(60), Uuid::from_u128(n), 1, None)).collect();
        assert!(waits.len() > 90, "{}", waits.len());
        let again = wait(Duration::from_secs(60), Uuid::from_u128(7), 1, None);
        assert_eq!(again, wait(Duration::from_secs(60), Uuid::from_u128(7), 1, None));
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_less_and_not_for_ever() {
        let wait = |asked| wait(Duration::from_secs(100), Uuid::from_u128(7), 1, Some(Duration::from_secs(asked)));
        assert_eq!(wait(300), Duration::from_secs(300));
        assert!(wait(1) >= Duration::from_secs(50));
        assert_eq!(wait(u64::MAX), ASKED_MAX);
    }
}
