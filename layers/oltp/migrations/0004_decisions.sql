-- The life of a decision: each step one function, idempotent by its natural key, audited.

create function crm.audit(action text, entity text, id uuid, why text) returns void
language sql as $$
    insert into crm.audit_log (actor, action, entity, entity_id, reason) values ('decisions', action, entity, id::text, why)
$$;

-- Contacts of a member on a channel that count from a time on: pending ones whatever their age, delivered ones, and failed ones
-- whose receiver may have acted all the same, because it did not answer or answered with an error of its own.
create function crm.contacts(member uuid, on_channel text, since timestamptz) returns bigint
language sql stable as $$
    select count(*) from crm.action a
    where a.member_id = member and a.channel = on_channel and (a.status = 'pending' or exists (
        select from crm.delivery d
        where d.action_id = a.action_id and d.at >= since
            and (d.error is null or (d.status_code is null or d.status_code >= 500) and d.error not like 'not sent:%')))
$$;

create function crm.guardrail_facts(q jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_object(
            'status', m.status,
            'timezone', m.timezone,
            'consent', (
                select jsonb_build_object('status', c.status, 'status_at', c.status_at, 'expires_at', c.expires_at)
                from crm.consent c
                where (c.member_id, c.purpose, c.channel) = (w.member_id, w.purpose, w.channel)),
            'actions_since', crm.contacts(w.member_id, w.channel, w.since))
        from jsonb_to_record(q) as w (member_id uuid, purpose text, channel text, since timestamptz)
        left join crm.member m on m.member_id = w.member_id);
end
$$;

create function crm.record_recommendation(q jsonb) returns jsonb
language plpgsql as $$
declare
    w record;
    old crm.recommendation;
    blocked text;
    before jsonb;
    behind jsonb;
begin
    select * into w from jsonb_to_record(q) as w (id uuid, intent_id uuid, playbook text, playbook_version int, person text,
        member_id uuid, channel text, payload jsonb, verdicts jsonb, action jsonb, at timestamptz, cap_count bigint,
        cap_since timestamptz);
    if w.action = 'null' then
        w.action := null;
    end if;
    -- One proposal a person at a time: what the cap counts cannot change between the look and the write.
    perform pg_advisory_xact_lock(hashtextextended(coalesce(w.member_id::text, w.person), 0));
    select * into old from crm.recommendation r where (r.intent_id, r.playbook) = (w.intent_id, w.playbook);
    if old.recommendation_id is not null then
        return jsonb_build_object('id', old.recommendation_id, 'status', old.status, 'repeated', true,
            'action', (select action_id from crm.action a where a.recommendation_id = old.recommendation_id),
            'blocked_by', (select guardrail from crm.guardrail_verdict v
                where v.recommendation_id = old.recommendation_id and v.verdict = 'deny' order by v.position limit 1));
    end if;
    select v.value ->> 'guardrail' into blocked
    from jsonb_array_elements(w.verdicts) with ordinality v where not (v.value ->> 'allow')::boolean order by v.ordinality limit 1;
    if blocked is null and w.action is not null and w.member_id is not null and w.cap_count is not null
        and crm.contacts(w.member_id, w.channel, w.cap_since) >= w.cap_count
    then
        blocked := 'frequency_cap';
        -- It takes the place of what the same guardrail said before it could know.
        select coalesce(jsonb_agg(v.value order by v.ordinality), '[]') into before
        from jsonb_array_elements(w.verdicts) with ordinality v
        where v.ordinality < coalesce((select min(c.ordinality) from jsonb_array_elements(w.verdicts) with ordinality c
            where c.value ->> 'guardrail' = blocked), 1 + jsonb_array_length(w.verdicts));
        select coalesce(jsonb_agg(v.value order by v.ordinality), '[]') into behind
        from jsonb_array_elements(w.verdicts) with ordinality v
        where v.ordinality > jsonb_array_length(before) and v.value ->> 'guardrail' <> blocked;
        w.verdicts := before || jsonb_build_object('guardrail', blocked, 'allow', false,
            'reason', 'reached while this was being decided: ' || w.cap_count || ' contacts') || behind;
    end if;
    insert into crm.recommendation (recommendation_id, intent_id, playbook, playbook_version, person, member_id, channel, status,
        payload, recommended_at)
    values (w.id, w.intent_id, w.playbook, w.playbook_version, w.person, w.member_id, w.channel,
        case when blocked is null and w.action is not null then 'executing' else 'blocked' end, w.payload, w.at);
    insert into crm.guardrail_verdict (recommendation_id, position, guardrail, verdict, reason, member_id, at)
    select w.id, v.ordinality - 1, v.value ->> 'guardrail', case when (v.value ->> 'allow')::boolean then 'allow' else 'deny' end,
        v.value ->> 'reason', w.member_id, w.at
    from jsonb_array_elements(w.verdicts) with ordinality v;
    if blocked is null and w.action is not null then
        insert into crm.action (action_id, recommendation_id, member_id, channel, payload, status, next_attempt_at, created_at)
        values ((w.action ->> 'id')::uuid, w.id, w.member_id, w.channel, w.action -> 'payload', 'pending',
            (w.action ->> 'due_at')::timestamptz, w.at);
    end if;
    perform crm.audit(case when blocked is null then 'recommended' else 'blocked' end, 'recommendation', w.id, blocked);
    return jsonb_build_object('id', w.id, 'repeated', false, 'blocked_by', blocked,
        'status', case when blocked is null and w.action is not null then 'executing' else 'blocked' end,
        'action', case when blocked is null then w.action ->> 'id' end);
end
$$;

create function crm.due_actions(q jsonb) returns jsonb
language plpgsql as $$
declare
    result jsonb;
begin
    with due as (
        select a.action_id from crm.action a
        where a.status = 'pending' and a.next_attempt_at <= (q ->> 'now')::timestamptz
        order by a.next_attempt_at limit (q ->> 'limit')::bigint
        for no key update skip locked
    ), leased as (
        update crm.action a set next_attempt_at = (q ->> 'until')::timestamptz, updated_at = now()
        from due where a.action_id = due.action_id
        returning a.*
    )
    select coalesce(jsonb_agg(jsonb_build_object('action_id', l.action_id, 'recommendation_id', l.recommendation_id,
        'intent_id', r.intent_id, 'playbook', r.playbook, 'person', r.person, 'member_id', l.member_id, 'channel', l.channel,
        'payload', l.payload, 'attempt', l.attempts + 1, 'created_at', l.created_at) order by l.created_at, l.action_id), '[]')
    from leased l join crm.recommendation r using (recommendation_id)
    into result;
    return result;
end
$$;

-- Null when there is no such action.
create function crm.record_delivery(q jsonb) returns jsonb
language plpgsql as $$
declare
    w record;
    act crm.action;
begin
    select * into w from jsonb_to_record(q) as w (delivery_id uuid, action_id uuid, attempt int, status_code int, error text,
        status text, next_at timestamptz, at timestamptz);
    select * into act from crm.action a where a.action_id = w.action_id for no key update;
    if act.action_id is null then
        return null;
    end if;
    insert into crm.delivery (delivery_id, action_id, member_id, attempt, status_code, error, at)
    values (w.delivery_id, w.action_id, act.member_id, w.attempt, w.status_code, w.error, w.at)
    on conflict (action_id, attempt) do nothing;
    if not found then
        return 'false';
    end if;
    update crm.action a set attempts = greatest(a.attempts, w.attempt), updated_at = now(),
        -- What was delivered is delivered, whatever was decided on the way and whatever a late attempt says.
        status = case when w.status = 'delivered' or a.status = 'pending' then w.status else a.status end,
        next_attempt_at = coalesce(w.next_at, a.next_attempt_at)
    where a.action_id = w.action_id;
    if (act.status = 'pending' and w.status <> 'pending') or (act.status <> 'delivered' and w.status = 'delivered') then
        update crm.recommendation r set status = case w.status when 'delivered' then 'executed' else 'failed' end, updated_at = now()
        where r.recommendation_id = act.recommendation_id and (r.status = 'executing' or w.status = 'delivered');
        perform crm.audit(w.status, 'action', w.action_id, w.error);
    end if;
    return 'true';
end
$$;

create function crm.retract(q jsonb) returns jsonb
language plpgsql as $$
declare
    result jsonb;
begin
    with stopped as (
        update crm.action a set status = 'failed', updated_at = (q ->> 'at')::timestamptz
        from crm.recommendation r
        where r.intent_id = (q ->> 'intent_id')::uuid and a.recommendation_id = r.recommendation_id and a.status = 'pending'
        returning a.recommendation_id
    ), withdrawn as (
        update crm.recommendation r set status = 'retracted', updated_at = (q ->> 'at')::timestamptz
        from stopped s where r.recommendation_id = s.recommendation_id
        returning r.recommendation_id
    ), audited as (
        insert into crm.audit_log (actor, action, entity, entity_id)
        select 'decisions', 'retracted', 'recommendation', recommendation_id::text from withdrawn
    )
    select to_jsonb(count(*)) from withdrawn
    into result;
    return result;
end
$$;
