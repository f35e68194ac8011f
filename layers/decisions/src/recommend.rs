//! What a playbook makes of an intent. Pure.

use crate::guardrails::{self, Facts, Policy};
use contract::playbooks::{ActionKind, OutcomeKind, Playbook};
use jiff::SignedDuration;
use model::Timestamp;
use model::derived::Intent;
use model::ids::{ActionId, RecommendationId};
use oltp::decision::{Cap, NewAction, NewRecommendation};
use serde_json::{Value, json};

/// The recommendation with all verdicts, and its action where all of them allow it.
pub(crate) fn recommend(playbook: &Playbook, intent: &Intent, facts: &Facts, now: Timestamp) -> NewRecommendation {
    let verdicts = guardrails::evaluate(facts, &Policy::of(playbook), now);
    let action = guardrails::passes(&verdicts).then(|| {
        let id = ActionId::new();
        NewAction { id, payload: message(playbook, intent, id, now), due_at: now }
    });
    NewRecommendation {
        id: RecommendationId::new(),
        intent_id: intent.intent_id,
        playbook: playbook.name.clone(),
        playbook_version: i32::try_from(playbook.version).unwrap_or(i32::MAX),
        person: intent.person.clone(),
        member: intent.person.as_member().filter(|_| facts.status.is_some()),
        channel: playbook.channel.clone(),
        payload: payload(playbook, intent),
        verdicts,
        action,
        at: now,
        cap: Some(Cap {
            count: i64::from(playbook.guardrails.frequency_cap.max),
            since: contacts_since(playbook, now),
        }),
    }
}

/// Whether an intent is older than the playbook answers.
pub(crate) fn is_stale(playbook: &Playbook, intent: &Intent, now: Timestamp) -> bool {
    now.duration_since(intent.fired_at).as_secs() > playbook.answer_within.as_seconds()
}

/// From when on contacts count against the playbook's cap.
pub(crate) fn contacts_since(playbook: &Playbook, now: Timestamp) -> Timestamp {
    let window = SignedDuration::from_secs(playbook.guardrails.frequency_cap.window.as_seconds());
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Why it is recommended, under which limits, and what will count as success: what a reader of the record needs later, when the
/// playbook may have changed.
fn payload(playbook: &Playbook, intent: &Intent) -> Value {
    let OutcomeKind::Purchase = playbook.outcome.kind;
    json!({
        "intent": intent.intent,
        "fired_at": intent.fired_at,
        "detail": storable(&Value::Object(intent.detail.clone())),
        "purpose": playbook.purpose,
        "guardrails": playbook.guardrails,
        "outcome": { "kind": "purchase", "window_s": playbook.outcome.window.as_seconds() },
    })
}

/// What the receiver gets.
fn message(playbook: &Playbook, intent: &Intent, id: ActionId, now: Timestamp) -> Value {
    let ActionKind::Webhook = playbook.action.kind;
    json!({
        "type": "action.requested",
        "action_id": id,
        "member_id": intent.person.as_member(),
        "person": intent.person,
        "channel": playbook.channel,
        "playbook": playbook.name,
        "playbook_version": playbook.version,
        "intent": intent.intent,
        "detail": storable(&Value::Object(intent.detail.clone())),
        "fields": playbook.action.fields,
        "recommended_at": now,
    })
}

/// A value without the character U+0000, which PostgreSQL's JSON cannot hold and anybody may send.
fn storable(value: &Value) -> Value {
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(value) => Value::String(text(value)),
        Value::Array(values) => values.iter().map(storable).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (text(name), storable(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_cannot_hold_is_replaced() {
        let value = json!({ "a\0b": ["x\0", { "c": "\0" }], "n": 1.5, "t": "as it is" });
        let wanted = json!({ "a\u{fffd}b": ["x\u{fffd}", { "c": "\u{fffd}" }], "n": 1.5, "t": "as it is" });
        assert_eq!(storable(&value), wanted);
    }
}
