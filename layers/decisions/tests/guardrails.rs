//! Each guardrail blocks, and the record says which and why.

use crate::house::{House, consent};
use decisions::Config;
use futures_util::future::join_all;
use model::ids::PersonId;
use oltp::outcome::DecisionDetail;
use std::sync::atomic::Ordering;

fn denied(decision: &DecisionDetail) -> Vec<&str> {
    let order: Vec<&str> = decision.verdicts.iter().map(|verdict| verdict.guardrail.as_str()).collect();
    assert_eq!(order, ["member", "consent", "frequency_cap", "quiet_hours"], "each verdict is on the record, in order");
    decision.verdicts.iter().filter(|verdict| !verdict.allow).map(|verdict| verdict.guardrail.as_str()).collect()
}

#[tokio::test]
async fn each_guardrail_blocks_and_says_why() {
    let house = House::new().await;
    let _run = house.start();
    let member = |status: &str| {
        let status = status.to_owned();
        let house = &house;
        async move { house.put_member(&status.clone(), |member| member.status = Some(status)).await }
    };
    let suspended = member("suspended").await;
    let closed = member("closed").await;
    let silent = house.put_member("silent", |member| member.consents.clear()).await;
    let revoked =
        house.put_member("revoked", |member| member.consents = vec![consent("revoked", "2025-01-01T00:00:00Z")]).await;
    let asleep = house.put_member("asleep", |member| member.timezone = Some("America/Los_Angeles".to_owned())).await;
    let nowhere = house.put_member("nowhere", |member| member.timezone = None).await;
    for (member, wanted) in [
        (suspended, "member"),
        (closed, "member"),
        (silent, "consent"),
        (revoked, "consent"),
        (asleep, "quiet_hours"),
        (nowhere, "quiet_hours"),
    ] {
        let intent = house.fire(member).await;
        let decision = house.decision(&intent, |_| true).await;
        assert_eq!((decision.decision.status.as_str(), denied(&decision)), ("blocked", vec![wanted]));
        assert!(decision.action.is_none());
    }
    let stranger = house.intent(PersonId("a:anonymous-1".to_owned()));
    let unknown = house.intent(PersonId(format!("m:{}", uuid::Uuid::now_v7())));
    for intent in [stranger, unknown] {
        house.send(&intent).await;
        let decision = house.decision(&intent, |_| true).await;
        assert_eq!(denied(&decision), ["member", "consent", "quiet_hours"]);
        assert_eq!((decision.decision.status.as_str(), decision.decision.member_id), ("blocked", None));
    }
    assert_eq!(house.received.accepted() + house.received.refused(), 0, "nobody was contacted");
}

#[tokio::test]
async fn the_cap_holds_over_time() {
    let house = House::new().await;
    let _run = house.start();
    let ann = house.member("ann").await;
    let first = house.fire(ann).await;
    house.decision(&first, |decision| decision.decision.status == "executed").await;
    let second = house.fire(ann).await;
    let decision = house.decision(&second, |_| true).await;
    assert_eq!(denied(&decision), ["frequency_cap"]);
    house.move_on(24 * 3_600 + 60);
    let third = house.fire(ann).await;
    house.decision(&third, |decision| decision.decision.status == "executed").await;
}

#[tokio::test]
async fn the_cap_holds_when_many_ask_at_once() {
    let house = House::new().await;
    let ann = house.member("ann").await;
    // Intents of one person on all partitions, so that they are judged side by side by two processes.
    let intents = join_all((0..40).map(|_| house.fire(ann))).await;
    let _runs = [house.start(), house.start()];
    house.intents_read().await;
    let mut allowed = 0;
    for intent in &intents {
        let decision = house.decision(intent, |_| true).await;
        if decision.action.is_some() {
            allowed += 1;
            assert!(denied(&decision).is_empty());
        } else {
            assert_eq!(denied(&decision), ["frequency_cap"]);
        }
    }
    assert_eq!(allowed, 1);
}

#[tokio::test]
async fn a_failed_action_frees_its_place_under_the_cap() {
    let house = House::new().await;
    house.faults.always.store(410, Ordering::SeqCst);
    let _run = house.start();
    let ann = house.member("ann").await;
    let first = house.fire(ann).await;
    house.decision(&first, |decision| decision.decision.status == "failed").await;
    house.faults.always.store(0, Ordering::SeqCst);
    let second = house.fire(ann).await;
    house.decision(&second, |decision| decision.decision.status == "executed").await;
}

/// Whoever did not answer, or broke while answering, may have contacted the member all the same.
#[tokio::test]
async fn an_action_that_may_have_arrived_keeps_its_place_under_the_cap() {
    let house = House::new().await;
    let once = Config { attempts_max: 1, ..house.config.clone() };
    let slow = Config { timeout_ms: 500, ..once.clone() };
    let away = Config { webhook_url: Some("http://127.0.0.1:1/".to_owned()), ..once.clone() };
    for (name, config, always, hold, wanted) in [
        ("broken", once, 500, 0, "blocked"),
        ("silent", slow, 0, 1, "blocked"),
        ("not reached", away, 0, 0, "executed"),
    ] {
        let member = house.member(name).await;
        house.faults.always.store(always, Ordering::SeqCst);
        house.faults.hold.store(hold, Ordering::SeqCst);
        let run = house.start_with(config);
        let first = house.fire(member).await;
        let failed = house.decision(&first, |decision| decision.decision.status == "failed").await;
        drop(run);
        house.faults.always.store(0, Ordering::SeqCst);
        let run = house.start();
        let second = house.fire(member).await;
        let decision = house
            .decision(&second, |decision| ["blocked", "executed"].contains(&decision.decision.status.as_str()))
            .await;
        assert_eq!(decision.decision.status, wanted, "{name}: {failed:?}");
        if wanted == "blocked" {
            assert_eq!(denied(&decision), ["frequency_cap"], "{name}");
        }
        drop(run);
    }
    house.move_on(24 * 3_600 + 60);
    let _run = house.start();
    let later = house.fire(house.member("broken").await).await;
    house.decision(&later, |decision| decision.decision.status == "executed").await;
}

#[tokio::test]
async fn an_action_that_was_withheld_frees_its_place_under_the_cap() {
    let house = House::new().await;
    let ann = house.member("ann").await;
    let first = house.fire(ann).await;
    let run = house.start_with(Config { webhook_url: None, ..house.config.clone() });
    house.decision(&first, |decision| decision.decision.status == "executing").await;
    drop(run);
    house.put_member("ann", |member| member.consents = vec![consent("revoked", "2025-06-01T00:00:00Z")]).await;
    let _run = house.start();
    house.decision(&first, |decision| decision.decision.status == "failed").await;
    house.put_member("ann", |member| member.consents = vec![consent("granted", "2025-06-02T00:00:00Z")]).await;
    let second = house.fire(ann).await;
    house.decision(&second, |decision| decision.decision.status == "executed").await;
}

/// What was found after an outage is answered only while it still means something.
#[tokio::test]
async fn an_old_intent_is_left_unanswered() {
    let house = House::new().await;
    let mut old = house.intent(PersonId::member(house.member("old").await));
    old.fired_at = old.fired_at.checked_sub(jiff::SignedDuration::from_hours(25)).unwrap();
    let fresh = house.intent(PersonId::member(house.member("fresh").await));
    house.send(&old).await;
    house.send(&fresh).await;
    let _run = house.start();
    house.intents_read().await;
    house.decision(&fresh, |_| true).await;
    let answered: Vec<_> = house.decisions().await.iter().map(|decision| decision.intent_id).collect();
    assert_eq!(answered, [fresh.intent_id]);
}
