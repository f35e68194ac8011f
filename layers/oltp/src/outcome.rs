//! Outcomes, always taken from the orders as they stand in the store, and the whole life of a decision for readers.

use crate::decision::Verdict;
use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use model::Timestamp;
use model::ids::{ActionId, MemberId, OrderId, RecommendationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

/// A decision in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// The recommendation; also what the pages of a list are cut by.
    #[schema(value_type = Uuid)]
    pub recommendation_id: RecommendationId,
    /// The intent that it answers.
    pub intent_id: Uuid,
    /// The playbook.
    #[schema(example = "cart_reminder")]
    pub playbook: String,
    /// Its version.
    pub playbook_version: i32,
    /// Whose.
    pub person: String,
    /// The member, where one is known.
    #[schema(value_type = Option<Uuid>)]
    pub member_id: Option<MemberId>,
    /// Channel of the contact.
    #[schema(example = "email")]
    pub channel: String,
    /// blocked, executing, executed, failed or retracted.
    #[schema(example = "executed")]
    pub status: String,
    /// What is recommended, and why.
    pub payload: Value,
    /// When it was recommended.
    #[schema(value_type = String, format = "date-time")]
    pub recommended_at: Timestamp,
}

/// A decision with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionDetail {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// What each guardrail said, in their order.
    #[schema(value_type = Vec<Object>)]
    pub verdicts: Vec<Verdict>,
    /// The action; none when a guardrail denied it.
    pub action: Option<ActionRecord>,
    /// Attempts to deliver it, in order.
    pub deliveries: Vec<DeliveryRecord>,
    /// What came of it; none as long as the window is open and nothing was bought.
    pub outcome: Option<OutcomeRecord>,
}

/// An action as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActionRecord {
    /// The action; also the `webhook-id` under which it is sent.
    #[schema(value_type = Uuid)]
    pub action_id: ActionId,
    /// pending, delivered or failed; failed also when it was withdrawn before it was sent.
    pub status: String,
    /// Number of the last attempt that was recorded.
    pub attempts: i32,
    /// What is sent.
    pub payload: Value,
    /// When it is tried next, as long as it is pending.
    #[schema(value_type = String, format = "date-time")]
    pub next_attempt_at: Timestamp,
}

/// An attempt as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryRecord {
    /// Number of the attempt, from 1; one that a dying process began and never ended is missing.
    pub attempt: i32,
    /// HTTP status of the answer, if there was one.
    pub status_code: Option<i32>,
    /// Why it did not arrive.
    pub error: Option<String>,
    /// When it was sent.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
}

/// An outcome as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeRecord {
    /// purchase or none.
    pub kind: String,
    /// The order.
    pub order_id: Option<Uuid>,
    /// Its net amount less what came back, in minor units.
    pub value_minor: Option<i64>,
    /// Its currency.
    pub currency: Option<String>,
    /// When it was written.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
}

/// Which decisions a list asks for.
#[derive(Clone, Debug, Default)]
pub struct DecisionsAsked {
    /// Only those recorded before this one.
    pub before: Option<RecommendationId>,
    /// Only those of this status.
    pub status: Option<String>,
    /// Only those of this member.
    pub member: Option<MemberId>,
    /// At most so many.
    pub limit: u32,
}

impl Oltp {
    /// Writes the outcome of some delivered actions as the orders and returns say now: the first order of the member within the
    /// window that counts as bought and of which something stays. It may run at any time, in any order and any number of times.
    /// Gives the number of outcomes that changed.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn settle_outcomes(&self, actions: &[ActionId], now: Timestamp) -> Result<u64, OltpError> {
        let actions: Vec<Uuid> = actions.iter().map(|action| action.0).collect();
        let rows = self.query(statement::SETTLE_OUTCOMES, &[&actions, &now]).await?;
        let changed: i32 = rows.first().map_or(0, |row| row.get(0));
        Ok(u64::try_from(changed).unwrap_or(0))
    }

    /// The delivered actions whose outcome some orders may be, or were said to be.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn actions_of_orders(&self, orders: &[OrderId]) -> Result<Vec<ActionId>, OltpError> {
        let orders: Vec<Uuid> = orders.iter().map(|order| order.0).collect();
        Ok(action_ids(&self.query(statement::ACTIONS_OF_ORDERS, &[&orders]).await?))
    }

    /// Delivered actions without an outcome whose window is over, oldest first.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn outcomes_due(&self, now: Timestamp, limit: u32) -> Result<Vec<ActionId>, OltpError> {
        Ok(action_ids(&self.query(statement::OUTCOMES_DUE, &[&now, &i64::from(limit)]).await?))
    }

    /// A page of decisions, newest first.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn decisions(&self, asked: &DecisionsAsked) -> Result<Vec<Decision>, OltpError> {
        let (before, member) = (asked.before.map(|id| id.0), asked.member.map(|id| id.0));
        let rows =
            self.query(statement::LIST_DECISIONS, &[&before, &asked.status, &member, &i64::from(asked.limit)]).await?;
        rows.iter().map(read).collect()
    }

    /// One decision with all that belongs to it.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn decision(&self, id: RecommendationId) -> Result<Option<DecisionDetail>, OltpError> {
        let rows = self.query(statement::GET_DECISION, &[&id.0]).await?;
        rows.first().map(read).transpose()
    }
}

fn action_ids(rows: &[Row]) -> Vec<ActionId> {
    rows.iter().map(|row| ActionId(row.get(0))).collect()
}

fn read<T: serde::de::DeserializeOwned>(row: &Row) -> Result<T, OltpError> {
    serde_json::from_value(row.get(0))
        .map_err(|error| OltpError::Internal(format!("a decision is stored in another shape: {error}")))
}
