//! What becomes of a delivery: done, tried again after a while, or dead. Pure.

use oltp::inbox::{DeliveryFault, Settled};
use oltp::{Done, OltpError};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 1_000;
/// Longest pointer that is kept, in characters.
const POINTER_MAX: usize = 512;
/// The code of a delivery whose source is not configured, which may cure itself.
const NO_SOURCE: &str = "access.unknown_source";

/// How long, and how often, a delivery is tried again.
pub(super) struct Policy<'a> {
    /// For how long since it came or was replayed.
    pub(super) retry_for: Duration,
    /// First wait; the waits double.
    pub(super) first: Duration,
    /// Longest wait.
    pub(super) most: Duration,
    /// Codes that may cure themselves, besides those that always may.
    pub(super) also: Option<&'a BTreeSet<String>>,
}

/// A fault of a whole delivery.
pub(super) fn whole(code: &str, reason: String) -> DeliveryFault {
    DeliveryFault { code: code.to_owned(), reason, line: None, pointer: None }
}

/// Nobody knows the source, maybe for a moment: a contract that was taken away by mistake comes back.
pub(super) fn no_source() -> DeliveryFault {
    whole(NO_SOURCE, "there is no contract for this source now".to_owned())
}

/// Whether a fault may cure itself: what a command names may still be on its way, and two that made the same thing at one moment
/// do not do so again.
fn may_cure(code: &str, also: Option<&BTreeSet<String>>) -> bool {
    let on_its_way = code.starts_with("oltp.unknown_") && code != "oltp.unknown_timezone";
    on_its_way || code == "oltp.duplicate" || code == NO_SOURCE || also.is_some_and(|also| also.contains(code))
}

/// Judges by the fault of the whole, if there is one, else by the outcomes of its commands. `chance` is between 0 and 1.
pub(super) fn of(
    policy: &Policy<'_>,
    fault: Option<DeliveryFault>,
    outcomes: &[Result<Done, OltpError>],
    attempts: i32,
    age: Duration,
    chance: f64,
) -> Settled {
    let in_commands = outcomes.iter().zip(1_u32..).filter_map(|(outcome, line)| {
        let error = outcome.as_ref().err()?;
        let pointer = error.pointer().map(str::to_owned);
        Some(DeliveryFault { code: error.code().to_owned(), reason: error.detail(), line: Some(line), pointer })
    });
    let faults: Vec<DeliveryFault> = fault.into_iter().chain(in_commands).map(fitting).collect();
    // One that cannot cure itself decides: the others would be waited for in vain.
    let worst = faults.iter().find(|fault| !may_cure(&fault.code, policy.also)).or(faults.first());
    match worst {
        None => Settled::Done,
        Some(fault) if !may_cure(&fault.code, policy.also) => Settled::Dead(fault.clone()),
        Some(fault) if age >= policy.retry_for => {
            let reason = format!("{}; tried for {} h in vain", fault.reason, age.as_secs() / 3_600);
            Settled::Dead(fitting(DeliveryFault { reason, ..fault.clone() }))
        }
        Some(fault) => Settled::Retry(wait(policy, attempts, chance), fault.clone()),
    }
}

/// The wait before the next try: doubled each time, up to the longest, and a fifth more or less, so that what failed together is
/// not tried together for ever.
fn wait(policy: &Policy<'_>, attempts: i32, chance: f64) -> Duration {
    let doubled = policy.first.saturating_mul(1 << attempts.saturating_sub(1).clamp(0, 20));
    doubled.min(policy.most).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

/// A fault as the store keeps it.
fn fitting(fault: DeliveryFault) -> DeliveryFault {
    let clean = |text: String, most: usize| text.chars().filter(|c| *c != '\0').take(most).collect::<String>();
    DeliveryFault {
        reason: clean(fault.reason, REASON_MAX),
        pointer: fault.pointer.map(|pointer| clean(pointer, POINTER_MAX)),
        ..fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oltp::Effect;

    fn policy() -> Policy<'static> {
        Policy {
            retry_for: Duration::from_secs(3_600),
            first: Duration::from_secs(5),
            most: Duration::from_secs(600),
            also: None,
        }
    }

    fn done() -> Result<Done, OltpError> {
        Ok(Done { id: uuid::Uuid::nil(), effect: Effect::Created, repeated: false, row_version: 1, result: None })
    }

    fn fails(code: &'static str) -> Result<Done, OltpError> {
        Err(OltpError::Invalid { code, pointer: "/order_no".to_owned(), detail: "d".to_owned() })
    }

    fn verdict(outcomes: &[Result<Done, OltpError>], age_s: u64) -> Settled {
        of(&policy(), None, outcomes, 1, Duration::from_secs(age_s), 0.5)
    }

    #[test]
    fn what_may_cure_itself_is_tried_again_until_it_is_too_old() {
        assert_eq!(verdict(&[done(), done()], 0), Settled::Done);
        assert_eq!(verdict(&[], 0), Settled::Done);
        let Settled::Retry(wait, fault) = verdict(&[done(), fails("oltp.unknown_order")], 0) else { panic!() };
        assert_eq!((wait, fault.line, fault.pointer.as_deref()), (Duration::from_secs(5), Some(2), Some("/order_no")));
        let Settled::Dead(fault) = verdict(&[fails("oltp.unknown_order")], 3_600) else { panic!() };
        assert!(fault.reason.ends_with("tried for 1 h in vain"), "{}", fault.reason);
    }

    #[test]
    fn what_cannot_cure_itself_is_dead_at_once() {
        for code in ["oltp.over_return", "oltp.unknown_timezone", "access.mapping_failed"] {
            let Settled::Dead(fault) = verdict(&[fails("oltp.unknown_order"), fails(code)], 0) else {
                panic!("{code}")
            };
            assert_eq!((fault.code.as_str(), fault.line), (code, Some(2)));
        }
        let also = BTreeSet::from(["oltp.over_return".to_owned()]);
        let policy = Policy { also: Some(&also), ..policy() };
        let settled = of(&policy, None, &[fails("oltp.over_return")], 1, Duration::ZERO, 0.5);
        assert!(matches!(settled, Settled::Retry(..)));
        let settled = of(&policy, Some(no_source()), &[], 1, Duration::ZERO, 0.5);
        assert!(matches!(settled, Settled::Retry(..)), "a contract may come back");
    }

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        let waits: Vec<u64> = (1..=9).map(|n| wait(&policy(), n, 0.5).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(wait(&policy(), 1, 0.0), Duration::from_secs(4));
        assert_eq!(wait(&policy(), 1, 1.0), Duration::from_secs(6));
        assert_eq!(wait(&policy(), i32::MAX, 0.5), Duration::from_secs(600));
    }
}
