//! Guardrails: whether a member may be contacted, now, on this channel, for this purpose.
//!
//! Pure. Every check speaks, in one fixed order, whatever the others said; one denial is enough to block.

use contract::playbooks::{Playbook, QuietHours};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use model::Timestamp;
use oltp::decision::{GuardrailFacts, Verdict};

/// Name of the check of the member's status.
pub const MEMBER: &str = "member";
/// Name of the check of the consent.
pub const CONSENT: &str = "consent";
/// Name of the check of the frequency cap.
pub const FREQUENCY_CAP: &str = "frequency_cap";
/// Name of the check of the quiet hours.
pub const QUIET_HOURS: &str = "quiet_hours";

type Check = fn(&Facts, &Policy, Timestamp) -> Result<String, String>;

/// The checks in their order, which is the order of the record: whoever adds one finds its place here.
const ORDER: [(&str, Check); 4] =
    [(MEMBER, member), (CONSENT, consent), (FREQUENCY_CAP, frequency_cap), (QUIET_HOURS, quiet_hours)];

/// What is known of the member; all of it is missing for whoever is no member.
pub type Facts = GuardrailFacts;

/// What a playbook asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Purpose of the contact.
    pub purpose: String,
    /// Channel of the contact.
    pub channel: String,
    /// Most contacts of the member on the channel within the window; none when the contact to be judged has its place already.
    pub cap: Option<u32>,
    /// The window, as written.
    pub window: String,
    /// Hours in which the member is left alone.
    pub quiet_hours: Option<QuietHours>,
}

impl Policy {
    /// The policy of a playbook for a new contact.
    #[must_use]
    pub fn of(playbook: &Playbook) -> Self {
        let cap = playbook.guardrails.frequency_cap;
        Self {
            purpose: playbook.purpose.clone(),
            channel: playbook.channel.clone(),
            cap: Some(cap.max),
            window: cap.window.to_string(),
            quiet_hours: playbook.guardrails.quiet_hours,
        }
    }

    /// The policy for sending what was allowed before: it holds its place under the cap, all else must still be true.
    #[must_use]
    pub fn at_attempt(playbook: &Playbook) -> Self {
        Self { cap: None, ..Self::of(playbook) }
    }
}

/// What nobody knows anything about.
#[must_use]
pub const fn no_facts() -> Facts {
    Facts { status: None, timezone: None, consent: None, actions_since: 0 }
}

/// Asks every guardrail, in order.
#[must_use]
pub fn evaluate(facts: &Facts, policy: &Policy, now: Timestamp) -> Vec<Verdict> {
    let ask = |(name, check): &(&str, Check)| {
        let (allow, reason) = match check(facts, policy, now) {
            Ok(reason) => (true, reason),
            Err(reason) => (false, reason),
        };
        Verdict { guardrail: (*name).to_owned(), allow, reason }
    };
    ORDER.iter().map(ask).collect()
}

/// Whether a recommendation passes: somebody was asked, and nobody denied it.
#[must_use]
pub fn passes(verdicts: &[Verdict]) -> bool {
    !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.allow)
}

fn member(facts: &Facts, _: &Policy, _: Timestamp) -> Result<String, String> {
    match facts.status.as_deref() {
        Some("active") => Ok("the member is active".to_owned()),
        Some(status @ ("suspended" | "closed" | "merged" | "erased")) => Err(format!("the member is {status}")),
        Some(_) => Err("the member has a status that this guardrail does not know".to_owned()),
        None => Err("no member is known for this person".to_owned()),
    }
}

fn consent(facts: &Facts, policy: &Policy, now: Timestamp) -> Result<String, String> {
    let what = format!("{} on {}", policy.purpose, policy.channel);
    let Some(consent) = &facts.consent else {
        return Err(format!("there is no consent to {what}"));
    };
    if consent.status != "granted" {
        return Err(format!("consent to {what} is not granted: it was denied or revoked"));
    }
    if consent.status_at > now {
        return Err(format!("consent to {what} does not hold yet"));
    }
    if consent.expires_at.is_some_and(|until| until <= now) {
        return Err(format!("consent to {what} has expired"));
    }
    Ok(format!("consent to {what} is granted"))
}

fn frequency_cap(facts: &Facts, policy: &Policy, _: Timestamp) -> Result<String, String> {
    let Some(cap) = policy.cap else {
        return Ok("this contact holds its place since it was recommended".to_owned());
    };
    let (contacts, window, channel) = (facts.actions_since, &policy.window, &policy.channel);
    let reason = format!("{contacts} of at most {cap} contacts on {channel} within {window}");
    if contacts < i64::from(cap) { Ok(reason) } else { Err(reason) }
}

fn quiet_hours(facts: &Facts, policy: &Policy, now: Timestamp) -> Result<String, String> {
    let Some(quiet) = policy.quiet_hours else {
        return Ok("the playbook has no quiet hours".to_owned());
    };
    // A guess could ring at night: without a zone nobody is contacted.
    let zone = facts.timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let Some(zone) = zone else {
        return Err("the member's time zone is not known".to_owned());
    };
    let hours = format!("{} to {}", quiet.from.strftime("%H:%M"), quiet.to.strftime("%H:%M"));
    if is_quiet(quiet, now.to_zoned(zone).time()) {
        return Err(format!("it is within {hours} by the member's clock"));
    }
    Ok(format!("it is outside of {hours} by the member's clock"))
}

/// Whether a time of day is quiet: from the first time on, until just before the second; over midnight when the first is later.
fn is_quiet(quiet: QuietHours, time: Time) -> bool {
    if quiet.from < quiet.to { time >= quiet.from && time < quiet.to } else { time >= quiet.from || time < quiet.to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::playbooks::Playbooks;
    use oltp::decision::ConsentFact;

    /// Noon in Berlin, on a day without a change of the clock.
    const NOON: &str = "2026-06-15T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn policy() -> Policy {
        Policy::of(Playbooks::embedded().iter().next().unwrap())
    }

    fn consent(status: &str, since: &str, until: Option<&str>) -> Option<ConsentFact> {
        Some(ConsentFact { status: status.to_owned(), status_at: at(since), expires_at: until.map(at) })
    }

    fn facts() -> Facts {
        Facts {
            status: Some("active".to_owned()),
            timezone: Some("Europe/Berlin".to_owned()),
            consent: consent("granted", "2026-01-01T00:00:00Z", None),
            actions_since: 0,
        }
    }

    fn denied_by(facts: &Facts, now: &str) -> Vec<String> {
        let verdicts = evaluate(facts, &policy(), at(now));
        let order: Vec<&str> = verdicts.iter().map(|verdict| verdict.guardrail.as_str()).collect();
        assert_eq!(order, [MEMBER, CONSENT, FREQUENCY_CAP, QUIET_HOURS], "each speaks, in order");
        assert!(verdicts.iter().all(|verdict| !verdict.reason.is_empty()));
        let denied: Vec<String> = verdicts.iter().filter(|v| !v.allow).map(|v| v.guardrail.clone()).collect();
        assert_eq!(passes(&verdicts), denied.is_empty());
        denied
    }

    #[test]
    fn only_an_active_member_passes() {
        assert!(denied_by(&facts(), NOON).is_empty());
        for status in ["suspended", "closed", "merged", "erased", "unheard of"] {
            assert_eq!(denied_by(&Facts { status: Some(status.to_owned()), ..facts() }, NOON), [MEMBER], "{status}");
        }
        assert_eq!(denied_by(&no_facts(), NOON), [MEMBER, CONSENT, QUIET_HOURS]);
        assert!(!passes(&[]));
    }

    #[test]
    fn consent_must_be_granted_and_hold_now() {
        for (what, consent, allowed) in [
            ("none on record", None, false),
            ("denied", consent("denied", "2026-01-01T00:00:00Z", None), false),
            ("revoked", consent("revoked", "2026-01-01T00:00:00Z", None), false),
            ("from later on", consent("granted", "2026-06-15T10:00:01Z", None), false),
            ("from now on", consent("granted", NOON, None), true),
            ("until now", consent("granted", "2026-01-01T00:00:00Z", Some(NOON)), false),
            ("until later", consent("granted", "2026-01-01T00:00:00Z", Some("2026-06-15T10:00:01Z")), true),
        ] {
            let denied = denied_by(&Facts { consent, ..facts() }, NOON);
            assert_eq!(denied.is_empty(), allowed, "{what}: {denied:?}");
        }
    }

    #[test]
    fn the_cap_is_the_last_contact_that_is_allowed() {
        assert!(denied_by(&Facts { actions_since: 0, ..facts() }, NOON).is_empty());
        assert_eq!(denied_by(&Facts { actions_since: 1, ..facts() }, NOON), [FREQUENCY_CAP]);
        let twice = Policy { cap: Some(2), ..policy() };
        assert!(passes(&evaluate(&Facts { actions_since: 1, ..facts() }, &twice, at(NOON))));
        assert!(!passes(&evaluate(&Facts { actions_since: 2, ..facts() }, &twice, at(NOON))));
        let reserved = Policy { cap: None, ..policy() };
        assert!(passes(&evaluate(&Facts { actions_since: 9, ..facts() }, &reserved, at(NOON))));
    }

    #[test]
    fn quiet_hours_follow_the_members_clock() {
        for (zone, now, quiet) in [
            ("Europe/Berlin", "2026-06-15T18:59:59Z", false),
            ("Europe/Berlin", "2026-06-15T19:00:00Z", true),
            ("Europe/Berlin", "2026-06-16T05:59:59Z", true),
            ("Europe/Berlin", "2026-06-16T06:00:00Z", false),
            ("America/New_York", "2026-06-16T06:00:00Z", true),
            // The clock goes forward at 02:00 and back at 03:00; 08:00 stays 08:00.
            ("Europe/Berlin", "2026-03-29T05:59:59Z", true),
            ("Europe/Berlin", "2026-03-29T06:00:00Z", false),
            ("Europe/Berlin", "2026-10-25T06:59:59Z", true),
            ("Europe/Berlin", "2026-10-25T07:00:00Z", false),
            ("Asia/Kathmandu", "2026-06-15T15:14:59Z", false),
            ("Asia/Kathmandu", "2026-06-15T15:15:00Z", true),
        ] {
            let denied = denied_by(&Facts { timezone: Some(zone.to_owned()), ..facts() }, now);
            assert_eq!(!denied.is_empty(), quiet, "{zone} at {now}: {denied:?}");
        }
        for zone in [None, Some("Mars/Olympus"), Some("../../etc/passwd"), Some("")] {
            let zone = zone.map(str::to_owned);
            assert_eq!(denied_by(&Facts { timezone: zone, ..facts() }, NOON), [QUIET_HOURS]);
        }
    }

    mod against_the_naive_way {
        use super::*;
        use jiff::ToSpan;
        use proptest::prelude::*;

        /// Spells out the window of yesterday and of today, and looks whether the moment is in one of them.
        fn naive(quiet: QuietHours, local: jiff::civil::DateTime) -> bool {
            let yesterday = local.date().yesterday().unwrap();
            [yesterday, local.date()].into_iter().any(|day| {
                let start = day.to_datetime(quiet.from);
                let last = if quiet.to <= quiet.from { day.tomorrow().unwrap() } else { day };
                start <= local && local < last.to_datetime(quiet.to)
            })
        }

        fn time() -> impl Strategy<Value = Time> {
            (0_i8..24, 0_i8..60).prop_map(|(hour, minute)| jiff::civil::time(hour, minute, 0, 0))
        }

        proptest! {
            #[test]
            fn quiet_hours_agree(from in time(), to in time(), minutes in 0_i64..1_051_200, zone in 0_usize..5) {
                prop_assume!(from != to);
                let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"];
                let now = at("2026-01-01T00:00:00Z") + minutes.minutes();
                let quiet = QuietHours { from, to };
                let facts = Facts { timezone: Some(zones[zone].to_owned()), ..facts() };
                let policy = Policy { quiet_hours: Some(quiet), ..policy() };
                let local = now.to_zoned(TimeZone::get(zones[zone]).unwrap()).datetime();
                let verdict = evaluate(&facts, &policy, now).pop().unwrap();
                prop_assert_eq!(verdict.allow, !naive(quiet, local), "{}", local);
            }

            #[test]
            fn the_cap_agrees(earlier in proptest::collection::vec(0_i64..200, 0..12), max in 1_u32..6, window in 1_i64..100) {
                // Contacts of the last 200 hours, those in the window counted one by one.
                let contacts = earlier.iter().filter(|hours| **hours < window).count();
                let policy = Policy { cap: Some(max), ..policy() };
                let facts = Facts { actions_since: contacts as i64, ..facts() };
                prop_assert_eq!(passes(&evaluate(&facts, &policy, at(NOON))), contacts < max as usize);
            }
        }
    }
}
