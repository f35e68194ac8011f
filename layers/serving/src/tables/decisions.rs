//! What was decided and what came of it; who wrote what.

use super::mirror;

mirror! { RECOMMENDATIONS: "recommendations" of "recommendation" by 1 {
    recommendation_id: Uuid, intent_id: Uuid, playbook: Text, playbook_version: Int, person: Text, member_id: Uuid,
    channel: Text, status: Text, payload: Json, recommended_at: Timestamp, updated_at: Timestamp
} }

mirror! { GUARDRAIL_VERDICTS: "guardrail_verdicts" of "guardrail_verdict" by 2 {
    recommendation_id: Uuid, position: Int, guardrail: Text, verdict: Text, reason: Text, member_id: Uuid,
    at: Timestamp
} }

mirror! { ACTIONS: "actions" of "action" by 1 {
    action_id: Uuid, recommendation_id: Uuid, member_id: Uuid, channel: Text, payload: Json, status: Text,
    attempts: Int, next_attempt_at: Timestamp, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { DELIVERIES: "deliveries" of "delivery" by 1 {
    delivery_id: Uuid, action_id: Uuid, member_id: Uuid, attempt: Int, status_code: Int, error: Text, at: Timestamp
} }

mirror! { OUTCOMES: "outcomes" of "outcome" by 1 {
    outcome_id: Uuid, action_id: Uuid, member_id: Uuid, kind: Text, order_id: Uuid, value_minor: Int, currency: Text,
    at: Timestamp
} }

mirror! { AUDIT_LOG: "audit_log" of "audit_log" by 1 {
    audit_id: Int, at: Timestamp, actor: Text, action: Text, entity: Text, entity_id: Text, reason: Text,
    request_id: Text
} }

mirror! { APPROVALS: "approvals" of "approval" by 1 {
    approval_id: Uuid, recommendation_id: Uuid, member_id: Uuid, verdict: Text, decided_by: Text, reason: Text,
    at: Timestamp
} }
