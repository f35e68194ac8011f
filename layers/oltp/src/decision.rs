//! The life of a decision in the store: recommendation, verdicts, action, delivery (outcomes are next door). Each step is one function, one
//! round trip, idempotent by its natural key, and audited.

use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use model::ids::{ActionId, MemberId, PersonId, RecommendationId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Json;
use uuid::Uuid;

/// What the guardrails ask of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardrailFacts {
    /// The member's status; none when there is no such member.
    pub status: Option<String>,
    /// The member's IANA time zone.
    pub timezone: Option<String>,
    /// The member's consent to the purpose on the channel, if there ever was one.
    pub consent: Option<ConsentFact>,
    /// Contacts of the member on the channel since the time asked for, and those that are still pending.
    pub actions_since: i64,
}

/// A consent as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentFact {
    /// granted, denied or revoked.
    pub status: String,
    /// Since when.
    pub status_at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// What one guardrail said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the guardrail.
    pub guardrail: String,
    /// Whether it lets the action pass.
    pub allow: bool,
    /// Why, in words without personal data.
    pub reason: String,
}

/// How many actions a member may get in a time; checked again when the recommendation is recorded, so that two proposals at the
/// same time cannot both pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Most actions in the window.
    pub count: i64,
    /// Start of the window.
    pub since: Timestamp,
}

/// An action to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAction {
    /// Its id: the receiver's idempotency key.
    pub id: ActionId,
    /// What the receiver gets.
    pub payload: Value,
    /// When to send it first.
    pub due_at: Timestamp,
}

/// A recommendation to record, with what the guardrails said of it.
#[derive(Clone, Debug)]
pub struct NewRecommendation {
    /// Its id.
    pub id: RecommendationId,
    /// The intent that it answers; once for each playbook.
    pub intent_id: Uuid,
    /// The playbook.
    pub playbook: String,
    /// Its version.
    pub playbook_version: i32,
    /// The person.
    pub person: PersonId,
    /// The member, where the person is one.
    pub member: Option<MemberId>,
    /// Channel of the action.
    pub channel: String,
    /// What is recommended.
    pub payload: Value,
    /// All verdicts, in the order of the checks.
    pub verdicts: Vec<Verdict>,
    /// The action, if all verdicts allow it.
    pub action: Option<NewAction>,
    /// When.
    pub at: Timestamp,
    /// The frequency cap to check again.
    pub cap: Option<Cap>,
}

/// A recommendation as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its id: of the first one, on a repeat.
    pub id: RecommendationId,
    /// blocked, executing, executed, failed or retracted.
    pub status: String,
    /// Its action, if it has one.
    pub action: Option<ActionId>,
    /// Whether it was there before.
    pub repeated: bool,
    /// The guardrail that blocks it, if one does.
    pub blocked_by: Option<String>,
}

/// An action that is due, leased to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueAction {
    /// The action.
    pub action_id: ActionId,
    /// Its recommendation.
    pub recommendation_id: RecommendationId,
    /// The intent behind it.
    pub intent_id: Uuid,
    /// The playbook behind it.
    pub playbook: String,
    /// Whom it is for.
    pub person: PersonId,
    /// The member, where the person is one.
    pub member_id: Option<MemberId>,
    /// Channel.
    pub channel: String,
    /// What to send.
    pub payload: Value,
    /// Number of this attempt, from 1.
    pub attempt: i32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What came of an attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The receiver's HTTP status, if it answered.
    pub status_code: Option<i32>,
    /// What went wrong, without personal data.
    pub error: Option<String>,
    /// What follows.
    pub next: Next,
    /// When.
    pub at: Timestamp,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was delivered.
    Delivered,
    /// Another attempt.
    RetryAt(Timestamp),
    /// Nothing: it failed for good.
    Failed,
}

impl Oltp {
    /// What the guardrails need to know of a member for a purpose on a channel, in one look.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn guardrail_facts(
        &self,
        member: MemberId,
        purpose: &str,
        channel: &str,
        since: Timestamp,
    ) -> Result<GuardrailFacts, OltpError> {
        let request = json!({ "member_id": member, "purpose": purpose, "channel": channel, "since": since });
        self.one(statement::GUARDRAIL_FACTS, request).await
    }

    /// Records a recommendation with its verdicts and, where all allow it, its action. The same intent and playbook again gives
    /// what was recorded first. Proposals for one member are taken one by one, and the cap is checked again among them: where it
    /// is reached by now, a verdict is added, the status is `blocked` and there is no action.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn record_recommendation(&self, new: &NewRecommendation) -> Result<Recorded, OltpError> {
        let request = json!({
            "id": new.id,
            "intent_id": new.intent_id,
            "playbook": new.playbook,
            "playbook_version": new.playbook_version,
            "person": new.person,
            "member_id": new.member,
            "channel": new.channel,
            "payload": new.payload,
            "verdicts": new.verdicts,
            "action": new.action,
            "at": new.at,
            "cap_count": new.cap.map(|cap| cap.count),
            "cap_since": new.cap.map(|cap| cap.since),
        });
        self.one(statement::RECORD_RECOMMENDATION, request).await
    }

    /// Actions that are due at `now`, leased until `until`: nobody else gets them before. Whoever dies with a lease loses it
    /// then, and the action is due again.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn due_actions(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<DueAction>, OltpError> {
        self.one(statement::DUE_ACTIONS, json!({ "now": now, "until": until, "limit": limit })).await
    }

    /// Records an attempt to deliver and what follows. Says whether it was new: the same attempt again changes nothing.
    ///
    /// # Errors
    /// [`OltpError::NotFound`] when there is no such action; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn record_delivery(&self, action: ActionId, number: i32, attempt: &Attempt) -> Result<bool, OltpError> {
        let (status, next_at) = match attempt.next {
            Next::Delivered => ("delivered", None),
            Next::RetryAt(at) => ("pending", Some(at)),
            Next::Failed => ("failed", None),
        };
        let request = json!({
            "delivery_id": Uuid::now_v7(),
            "action_id": action,
            "attempt": number,
            "status_code": attempt.status_code,
            "error": attempt.error,
            "status": status,
            "next_at": next_at,
            "at": attempt.at,
        });
        let recorded: Option<bool> = self.one(statement::RECORD_DELIVERY, request).await?;
        recorded.ok_or_else(|| OltpError::NotFound(format!("there is no action {action}")))
    }

    /// Withdraws what was recommended for an intent that proved wrong: actions still waiting are not taken. Gives the number of
    /// recommendations withdrawn; what was delivered stays.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn retract_recommendations(&self, intent: Uuid, at: Timestamp) -> Result<u64, OltpError> {
        self.one(statement::RETRACT, json!({ "intent_id": intent, "at": at })).await
    }

    /// Sends a request to a function of the store and reads its one answer.
    async fn one<T: serde::de::DeserializeOwned>(&self, sql: &'static str, request: Value) -> Result<T, OltpError> {
        let rows = self.query(sql, &[&request]).await?;
        let answer: Option<Value> = rows.first().and_then(|row| row.get(0));
        serde_json::from_value(answer.unwrap_or(Value::Null))
            .map_err(|error| OltpError::Internal(format!("the store gave an answer of another shape: {error}")))
    }
}

/// What a person said to a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
    /// Nobody answered in time.
    Expired,
}

impl Oltp {
    /// Records what a person said to a recommendation. The first word stands; gives it.
    ///
    /// # Errors
    /// [`OltpError::NotFound`] when there is no such recommendation; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn record_approval(
        &self,
        recommendation: RecommendationId,
        verdict: Approval,
        by: &str,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<Approval, OltpError> {
        #[derive(Deserialize)]
        struct Stored {
            verdict: Approval,
        }
        let ask = json!({"approval_id": Uuid::now_v7(), "recommendation_id": recommendation.0, "verdict": verdict,
            "decided_by": by, "reason": reason, "at": at});
        let rows = self.query(statement::RECORD_APPROVAL, &[&ask]).await?;
        let stored: Option<Json<Stored>> = rows.first().and_then(|row| row.get(0));
        stored
            .map(|stored| stored.0.verdict)
            .ok_or_else(|| OltpError::NotFound("there is no such recommendation".to_owned()))
    }
}
