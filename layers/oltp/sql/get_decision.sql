-- $1 recommendation: it, its verdicts, its action with deliveries, its outcome.
select to_jsonb(r) || jsonb_build_object(
    'verdicts', coalesce((
        select jsonb_agg(jsonb_build_object('guardrail', v.guardrail, 'allow', v.verdict = 'allow', 'reason', v.reason)
                         order by v.position)
        from crm.guardrail_verdict v where v.recommendation_id = r.recommendation_id), '[]'),
    'action', to_jsonb(a),
    'deliveries', coalesce((
        select jsonb_agg(to_jsonb(d) order by d.attempt) from crm.delivery d where d.action_id = a.action_id), '[]'),
    'outcome', (select to_jsonb(o) from crm.outcome o where o.action_id = a.action_id))
from crm.recommendation r
left join crm.action a on a.recommendation_id = r.recommendation_id
where r.recommendation_id = $1::uuid
