-- The ledger of decisions: each recommendation with what blocked it, what was done and what came of it.
select
    r.recommendation_id, r.intent_id, r.playbook, r.playbook_version, r.person, r.member_id, r.channel, r.status,
    r.recommended_at,
    v.guardrail as blocked_by, v.reason as blocked_reason,
    a.action_id, a.status as action_status, a.attempts, a.created_at as action_at,
    d.delivered_at,
    o.kind as outcome, o.order_id as outcome_order_id, o.value_minor as outcome_value_minor, o.currency as outcome_currency,
    o."at" as outcome_at,
    r.payload
from recommendations r
left join (
    select recommendation_id, guardrail, reason,
        row_number() over (partition by recommendation_id order by position) as nth
    from guardrail_verdicts
    where verdict = 'deny'
) v on v.recommendation_id = r.recommendation_id and v.nth = 1
left join actions a on a.recommendation_id = r.recommendation_id
left join (
    select action_id, min("at") as delivered_at
    from deliveries
    where status_code between 200 and 299
    group by action_id
) d on d.action_id = a.action_id
left join outcomes o on o.action_id = a.action_id
