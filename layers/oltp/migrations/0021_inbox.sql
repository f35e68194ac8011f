-- The raw inbox: what sources deliver, as it came, until the router has made commands of it; and imports, whose lines wait in
-- the store until they are run. Both hold personal data as it was sent: they are outside the publication.

create table crm.inbox (
    inbox_id uuid primary key,
    arrival bigint generated always as identity unique,
    source text not null check (length(source) between 1 and 64),
    account text not null check (length(account) between 1 and 64),
    delivery_id text not null check (length(delivery_id) between 1 and 256),
    kind text check (length(kind) between 1 and 128),
    entity_key text not null default '' check (length(entity_key) <= 256),
    headers jsonb not null check (jsonb_typeof(headers) = 'object'),
    payload bytea,
    corrected bytea,
    revision int not null default 0 check (revision >= 0),
    status text not null default 'received' check (status in ('received', 'retry', 'done', 'dead')),
    attempts int not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    lease uuid,
    code text check (length(code) <= 128),
    reason text check (length(reason) <= 2000),
    line int check (line >= 1),
    pointer text check (length(pointer) <= 1024),
    lines int not null default 0 check (lines >= 0),
    received_at timestamptz not null default now(),
    retry_since timestamptz not null default now(),
    settled_at timestamptz,
    unique (source, account, delivery_id),
    check ((status in ('done', 'dead')) = (settled_at is not null)),
    check (payload is not null or status = 'done'),
    check ((status in ('retry', 'dead')) <= (code is not null))
);
create index inbox_due on crm.inbox (next_attempt_at, arrival) where status in ('received', 'retry');
create index inbox_entity on crm.inbox (source, account, entity_key, arrival) where status in ('received', 'retry');
create index inbox_listed on crm.inbox (status, inbox_id);
create index inbox_settled on crm.inbox (settled_at) where status = 'done';

comment on table crm.inbox is 'Deliveries of sources as they came. One row a delivery id of an account, for as long as a repeat could come. Not published: payloads hold personal data.';
comment on column crm.inbox.inbox_id is 'Our id of the delivery: the receipt. Idempotency keys of its commands begin with it.';
comment on column crm.inbox.arrival is 'Order of arrival.';
comment on column crm.inbox.source is 'Name of the source, as in its contract.';
comment on column crm.inbox.account is 'Account of the source that sent it.';
comment on column crm.inbox.delivery_id is 'The source''s own id of the delivery: a repeat has the same one.';
comment on column crm.inbox.kind is 'What the delivery says it is; none where it does not say.';
comment on column crm.inbox.entity_key is 'What it is about: deliveries of one key are run in their order of arrival. Empty where there is no order.';
comment on column crm.inbox.headers is 'Headers that the contract keeps; never secrets or signatures. Emptied with the payload.';
comment on column crm.inbox.payload is 'The body, byte by byte; taken away some time after it is done.';
comment on column crm.inbox.corrected is 'The body that an operator put in place of it; none where nobody did.';
comment on column crm.inbox.revision is 'How often an operator had its commands run as new ones: part of their idempotency keys.';
comment on column crm.inbox.status is 'received: to be run, and those of its key wait for it. retry: to be run again, nobody waits for it. done: all commands are committed. dead: given up until an operator replays it.';
comment on column crm.inbox.attempts is 'Runs since it came or was replayed.';
comment on column crm.inbox.next_attempt_at is 'When it is due; while somebody runs it, when the lease ends.';
comment on column crm.inbox.lease is 'Of whoever runs it: another run, begun when this one took too long, makes it void.';
comment on column crm.inbox.code is 'Stable code of the last fault.';
comment on column crm.inbox.reason is 'The last fault in words without personal values.';
comment on column crm.inbox.line is 'Which of its commands the fault is in, from 1; none when it is about the whole.';
comment on column crm.inbox.pointer is 'Where in the command the fault is, as a JSON pointer.';
comment on column crm.inbox.lines is 'Commands that the mapping made of it at the last run.';
comment on column crm.inbox.received_at is 'When it came; the receipt was answered after the commit.';
comment on column crm.inbox.retry_since is 'Since when it is tried: when it came, or was replayed last.';
comment on column crm.inbox.settled_at is 'When it was done or given up.';

-- Keeps a delivery; answers the receipt. A repeat gets the first one.
create function crm.receive_delivery(q jsonb, payload bytea) returns jsonb
language plpgsql as $$
declare
    kept crm.inbox;
begin
    insert into crm.inbox as t (inbox_id, source, account, delivery_id, kind, entity_key, headers, payload)
    select w.id, w.source, w.account, w.delivery_id, w.kind, coalesce(w.entity_key, ''), w.headers, receive_delivery.payload
    from jsonb_to_record(q) as w (id uuid, source text, account text, delivery_id text, kind text, entity_key text, headers jsonb)
    on conflict (source, account, delivery_id) do nothing
    returning * into kept;
    if kept.inbox_id is not null then
        return jsonb_build_object('id', kept.inbox_id, 'received_at', kept.received_at, 'repeated', false);
    end if;
    select * into kept from crm.inbox t
    where (t.source, t.account, t.delivery_id) = (q ->> 'source', q ->> 'account', q ->> 'delivery_id');
    if kept.inbox_id is null then
        raise exception 'taken away at the same time' using errcode = 'unique_violation';
    end if;
    return jsonb_build_object('id', kept.inbox_id, 'received_at', kept.received_at, 'repeated', true);
end
$$;

-- Leases deliveries that are due, in their order of arrival. One waits while an earlier one of its key is neither in the same
-- lease nor settled; one that is tried again after a fault holds nobody up.
create function crm.lease_deliveries(q jsonb) returns setof crm.inbox
language plpgsql as $$
declare
    due uuid[];
    held uuid[];
begin
    due := array(
        select i.inbox_id from crm.inbox i
        where i.status in ('received', 'retry') and i.next_attempt_at <= now()
        order by i.next_attempt_at, i.arrival limit (q ->> 'limit')::int
        for no key update skip locked);
    held := array(
        select i.inbox_id from crm.inbox i
        where i.inbox_id = any (due) and i.entity_key <> '' and i.status = 'received' and exists (
            select from crm.inbox p
            where (p.source, p.account, p.entity_key) = (i.source, i.account, i.entity_key) and p.arrival < i.arrival
                and p.status = 'received' and p.inbox_id <> all (due)));
    -- Out of the way of others; whoever holds them up wakes them.
    update crm.inbox i set next_attempt_at = now() + interval '1 second' where i.inbox_id = any (held);
    return query
        update crm.inbox i
        set lease = (q ->> 'lease')::uuid, attempts = i.attempts + 1,
            next_attempt_at = now() + make_interval(secs => (q ->> 'seconds')::int)
        where i.inbox_id = any (due) and i.inbox_id <> all (held)
        returning i.*;
end
$$;

-- Says what became of leased deliveries; whoever lost the lease says nothing. What is settled wakes those of its key that wait for
-- it or for a cure. Gives the number of rows that were settled.
create function crm.settle_deliveries(q jsonb) returns int
language plpgsql as $$
declare
    result int;
begin
    perform from crm.inbox i
    where i.inbox_id in (select s.id from jsonb_to_recordset(q) as s (id uuid))
    order by i.inbox_id for no key update;
    with told as (
        select * from jsonb_to_recordset(q) as s (id uuid, lease uuid, status text, kind text, wait_ms bigint, code text, reason text,
            line int, pointer text, lines int)
    ), settled as (
        update crm.inbox i
        set status = s.status, lease = null, kind = coalesce(s.kind, i.kind), code = s.code, reason = s.reason, line = s.line, pointer = s.pointer,
            lines = coalesce(s.lines, i.lines), next_attempt_at = now() + make_interval(secs => coalesce(s.wait_ms, 0) / 1000.0),
            settled_at = case when s.status in ('done', 'dead') then now() end
        from told s where i.inbox_id = s.id and i.lease = s.lease
        returning i.inbox_id
    )
    select count(*) into result from settled;
    update crm.inbox i set next_attempt_at = now()
    from (
        select d.source, d.account, d.entity_key, bool_or(s.status = 'done') as cures
        from jsonb_to_recordset(q) as s (id uuid, status text) join crm.inbox d on d.inbox_id = s.id
        where d.entity_key <> '' group by 1, 2, 3) w
    where (i.source, i.account, i.entity_key) = (w.source, w.account, w.entity_key) and i.lease is null and i.next_attempt_at > now()
        and i.status in ('received', 'retry') and (i.status = 'received' or w.cures);
    return result;
end
$$;

-- Gives leased deliveries back unrun: the store could not take their commands.
create function crm.release_deliveries(lease uuid, seconds int) returns void
language plpgsql as $$
begin
    update crm.inbox i set lease = null, attempts = i.attempts - 1, next_attempt_at = now() + make_interval(secs => seconds)
    where i.lease = release_deliveries.lease;
end
$$;

-- Deliveries as an operator sees them, newest first.
create function crm.list_deliveries(q jsonb) returns setof crm.inbox
language plpgsql stable
-- Each question is planned for what it asks.
set plan_cache_mode = force_custom_plan
as $$
begin
    return query
        select i.* from crm.inbox i
        where (q ->> 'status' is null or i.status = q ->> 'status')
            and (q ->> 'source' is null or i.source = q ->> 'source')
            and (q ->> 'account' is null or i.account = q ->> 'account')
            and (q ->> 'kind' is null or i.kind = q ->> 'kind')
            and (q ->> 'code' is null or i.code = q ->> 'code')
            and (q ->> 'delivery_id' is null or i.delivery_id = q ->> 'delivery_id')
            and (q ->> 'since' is null or i.received_at >= (q ->> 'since')::timestamptz)
            and (q ->> 'until' is null or i.received_at < (q ->> 'until')::timestamptz)
            and (q ->> 'before' is null or i.inbox_id < (q ->> 'before')::uuid)
        order by i.inbox_id desc limit (q ->> 'limit')::int;
end
$$;

-- Has a settled delivery run again, with another body if one is given. Its commands keep their idempotency keys, so that what was
-- done is not done twice, unless they are asked for as new ones. Answers its status before, or none when there is no such delivery;
-- one without its payload, or one that is still to be run and is not corrected, stays as it is.
create function crm.replay_delivery(q jsonb, body bytea) returns jsonb
language plpgsql as $$
declare
    kept crm.inbox;
begin
    select * into kept from crm.inbox i where i.inbox_id = (q ->> 'id')::uuid for no key update;
    if kept.inbox_id is null then
        return null;
    end if;
    if kept.payload is null and body is null then
        return jsonb_build_object('status', kept.status, 'replayed', false, 'why', 'payload_gone');
    end if;
    if kept.lease is not null and kept.next_attempt_at > now() then
        return jsonb_build_object('status', kept.status, 'replayed', false, 'why', 'running');
    end if;
    if kept.status = 'received' and body is null then
        return jsonb_build_object('status', kept.status, 'replayed', false, 'why', 'waiting');
    end if;
    update crm.inbox i
    set status = 'retry', settled_at = null, attempts = 0, next_attempt_at = now(), retry_since = now(), lease = null,
        code = coalesce(i.code, 'access.replayed'), reason = coalesce(i.reason, 'to be run again'),
        corrected = coalesce(body, i.corrected), payload = coalesce(i.payload, body),
        revision = i.revision + case when (q ->> 'anew')::boolean then 1 else 0 end
    where i.inbox_id = kept.inbox_id;
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    values (q ->> 'actor', case when body is null then 'replayed' else 'corrected' end, 'inbox', kept.inbox_id::text, q ->> 'reason',
        q ->> 'request');
    return jsonb_build_object('status', kept.status, 'replayed', true);
end
$$;

-- Has many settled deliveries run again; gives their number.
create function crm.replay_deliveries(q jsonb) returns int
language plpgsql as $$
declare
    result int;
begin
    with chosen as (
        select i.inbox_id from crm.list_deliveries(q) l join crm.inbox i using (inbox_id)
        where i.status in ('dead', 'done') and i.payload is not null
        order by i.inbox_id for no key update of i
    ), replayed as (
        update crm.inbox i
        set status = 'retry', settled_at = null, attempts = 0, next_attempt_at = now(), retry_since = now(),
            code = coalesce(i.code, 'access.replayed'), reason = coalesce(i.reason, 'to be run again'),
            revision = i.revision + case when (q ->> 'anew')::boolean then 1 else 0 end
        from chosen c where i.inbox_id = c.inbox_id and i.status in ('dead', 'done')
        returning i.inbox_id
    ), audited as (
        insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
        select q ->> 'actor', 'replayed', 'inbox', inbox_id::text, q ->> 'reason', q ->> 'request' from replayed
    )
    select count(*) into result from replayed;
    return result;
end
$$;

-- Takes away payloads of what has been done for some time, then the receipts; never waits for anybody. Gives how many of each.
create function crm.forget_deliveries(payload_days int, receipt_days int, most int) returns jsonb
language plpgsql as $$
declare
    emptied int;
    gone int;
begin
    with old as (
        select i.inbox_id from crm.inbox i
        where i.status = 'done' and i.payload is not null and i.settled_at < now() - make_interval(days => payload_days)
        order by i.settled_at limit most for no key update skip locked
    ), done as (
        update crm.inbox i set payload = null, corrected = null, headers = '{}' from old o where i.inbox_id = o.inbox_id returning 1
    )
    select count(*) into emptied from done;
    with old as (
        select i.inbox_id from crm.inbox i
        where i.status = 'done' and i.settled_at < now() - make_interval(days => receipt_days)
        order by i.settled_at limit most for update skip locked
    ), done as (
        delete from crm.inbox i using old o where i.inbox_id = o.inbox_id returning 1
    )
    select count(*) into gone from done;
    return jsonb_build_object('emptied', emptied, 'gone', gone);
end
$$;

-- How the inbox stands: what waits, how old the oldest of it is, and what is dead.
create function crm.inbox_standing() returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_object('received', count(*) filter (where i.status = 'received'),
            'retry', count(*) filter (where i.status = 'retry'), 'dead', count(*) filter (where i.status = 'dead'),
            'oldest_s', coalesce(extract(epoch from now() - min(i.received_at) filter (where i.status <> 'dead')), 0)::bigint)
        from crm.inbox i where i.status in ('received', 'retry', 'dead'));
end
$$;

create table crm.import_job (
    import_id uuid primary key,
    actor text not null,
    reason text,
    request_id text,
    idempotency_key text,
    body_hash bytea,
    status text not null default 'receiving' check (status in ('receiving', 'queued', 'running', 'cancelling', 'cancelled', 'done')),
    bytes bigint not null default 0 check (bytes >= 0),
    lines bigint not null default 0 check (lines >= 0),
    done bigint not null default 0 check (done >= 0),
    failed bigint not null default 0 check (failed >= 0),
    position text,
    lease uuid,
    leased_until timestamptz,
    worked_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    unique (actor, idempotency_key),
    check (done + failed <= lines),
    check ((status in ('cancelled', 'done')) = (finished_at is not null)),
    check (status <> 'done' or done + failed = lines),
    check (status = 'receiving' or body_hash is not null)
);
create index import_job_due on crm.import_job (worked_at) where status in ('queued', 'running', 'cancelling');
create index import_job_ended on crm.import_job (finished_at) where finished_at is not null;
create index import_job_listed on crm.import_job (actor, import_id);

comment on table crm.import_job is 'Imports: many lines taken at once and run one after the other. Not published.';
comment on column crm.import_job.import_id is 'Our id; idempotency keys of its lines begin with it.';
comment on column crm.import_job.actor is 'Id of the key that sent it; its lines are run in its name.';
comment on column crm.import_job.reason is 'Why, if the sender said so.';
comment on column crm.import_job.request_id is 'The request that sent it.';
comment on column crm.import_job.idempotency_key is 'The sender''s key of the whole import: a repeat gets this job.';
comment on column crm.import_job.body_hash is 'SHA-256 of what was sent; known once all of it is here.';
comment on column crm.import_job.status is 'receiving: not whole yet, never run. queued, running. cancelling: no further line is begun. cancelled, done: over.';
comment on column crm.import_job.bytes is 'Bytes that were sent.';
comment on column crm.import_job.lines is 'Lines that hold something.';
comment on column crm.import_job.done is 'Lines that are committed.';
comment on column crm.import_job.failed is 'Lines of which nothing was done.';
comment on column crm.import_job.position is 'Log position that covers all lines that are done.';
comment on column crm.import_job.lease is 'Of whoever runs it now.';
comment on column crm.import_job.leased_until is 'When that lease ends.';
comment on column crm.import_job.worked_at is 'When some of it was run last: the one that has waited longest is next.';
comment on column crm.import_job.created_at is 'When it came.';
comment on column crm.import_job.started_at is 'When its first lines were run.';
comment on column crm.import_job.finished_at is 'When it was done or cancelled.';

create table crm.import_chunk (
    import_id uuid not null references crm.import_job on delete cascade,
    chunk_no int not null check (chunk_no >= 0),
    first_line bigint not null check (first_line >= 1),
    lines int not null check (lines >= 1),
    body bytea not null,
    begun boolean not null default false,
    primary key (import_id, chunk_no)
);

comment on table crm.import_chunk is 'Lines of imports that are still to be run; a chunk goes when its lines are settled. Not published: lines hold personal data.';
comment on column crm.import_chunk.import_id is 'Its import.';
comment on column crm.import_chunk.chunk_no is 'Its place, from 0.';
comment on column crm.import_chunk.first_line is 'Number of its first line in what was sent, from 1.';
comment on column crm.import_chunk.lines is 'Lines in it that hold something.';
comment on column crm.import_chunk.body is 'The lines, each with its line feed.';
comment on column crm.import_chunk.begun is 'Whether some of it may be committed: then it is run to its end, also when the import is cancelled.';

create table crm.import_failure (
    import_id uuid not null references crm.import_job on delete cascade,
    line bigint not null check (line >= 1),
    status smallint not null,
    code text not null,
    pointer text,
    detail text not null,
    primary key (import_id, line)
);

comment on table crm.import_failure is 'Lines of imports of which nothing was done, and why. Not published.';
comment on column crm.import_failure.import_id is 'Its import.';
comment on column crm.import_failure.line is 'Number of the line in what was sent, from 1.';
comment on column crm.import_failure.status is 'The HTTP status that the line would have had by itself.';
comment on column crm.import_failure.code is 'Stable code of the fault.';
comment on column crm.import_failure.pointer is 'Where in the line the fault is, as a JSON pointer.';
comment on column crm.import_failure.detail is 'The fault in words without personal values.';

-- Opens an import; answers the one that has the sender's key already, if there is one.
create function crm.open_import(q jsonb) returns jsonb
language plpgsql as $$
declare
    kept crm.import_job;
begin
    -- One that broke off with its server is not waited for.
    delete from crm.import_job j
    where (j.actor, j.idempotency_key) = (q ->> 'actor', q ->> 'key') and j.status = 'receiving'
        and j.worked_at < now() - make_interval(secs => (q ->> 'patience_s')::int);
    insert into crm.import_job (import_id, actor, reason, request_id, idempotency_key)
    values ((q ->> 'id')::uuid, q ->> 'actor', q ->> 'reason', q ->> 'request', q ->> 'key')
    on conflict (actor, idempotency_key) do nothing
    returning * into kept;
    if kept.import_id is not null then
        return jsonb_build_object('id', kept.import_id, 'status', kept.status, 'opened', true);
    end if;
    select * into kept from crm.import_job j where (j.actor, j.idempotency_key) = (q ->> 'actor', q ->> 'key');
    if kept.import_id is null then
        raise exception 'taken away at the same time' using errcode = 'unique_violation';
    end if;
    return jsonb_build_object('id', kept.import_id, 'status', kept.status, 'opened', false,
        'body_hash', encode(kept.body_hash, 'hex'));
end
$$;

-- Keeps lines of an import that is being received; a chunk whose answer was lost may come again.
create function crm.add_import_chunk(q jsonb, body bytea) returns void
language plpgsql as $$
begin
    insert into crm.import_chunk (import_id, chunk_no, first_line, lines, body)
    values ((q ->> 'id')::uuid, (q ->> 'chunk_no')::int, (q ->> 'first_line')::bigint, (q ->> 'lines')::int, add_import_chunk.body)
    on conflict (import_id, chunk_no) do nothing;
    update crm.import_job j set worked_at = now() where j.import_id = (q ->> 'id')::uuid and j.status = 'receiving';
end
$$;

-- All lines are here: from now on the import is run. Says whether it was still to be received.
create function crm.close_import(q jsonb) returns boolean
language plpgsql as $$
begin
    update crm.import_job j
    set status = case when (q ->> 'lines')::bigint = 0 then 'done' else 'queued' end, bytes = (q ->> 'bytes')::bigint,
        lines = (q ->> 'lines')::bigint, body_hash = decode(q ->> 'hash', 'hex'), worked_at = now(),
        finished_at = case when (q ->> 'lines')::bigint = 0 then now() end
    where j.import_id = (q ->> 'id')::uuid and j.status = 'receiving';
    if found then
        insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
        select j.actor, 'created', 'import', j.import_id::text, j.reason, j.request_id
        from crm.import_job j where j.import_id = (q ->> 'id')::uuid;
        return true;
    end if;
    return exists (select from crm.import_job j where j.import_id = (q ->> 'id')::uuid);
end
$$;

-- Takes away an import that broke off before it was whole.
create function crm.drop_import(import uuid) returns void
language plpgsql as $$
begin
    delete from crm.import_job j where j.import_id = import and j.status = 'receiving';
end
$$;

-- Leases the import that has waited longest; answers its next chunk. One that is being cancelled ends here, unless some of its
-- next chunk may be committed: that is run to its end, so that what is told of it is true.
create function crm.lease_import(q jsonb) returns table (import_id uuid, actor text, reason text, request_id text, chunk_no int,
    first_line bigint, body bytea)
language plpgsql as $$
declare
    job crm.import_job;
    chunk crm.import_chunk;
begin
    loop
        select * into job from crm.import_job j
        where j.status in ('queued', 'running', 'cancelling') and (j.lease is null or j.leased_until < now())
        order by j.worked_at limit 1
        for no key update skip locked;
        if job.import_id is null then
            return;
        end if;
        select * into chunk from crm.import_chunk c where c.import_id = job.import_id order by c.chunk_no limit 1;
        exit when job.status <> 'cancelling' or chunk.begun;
        delete from crm.import_chunk c where c.import_id = job.import_id;
        update crm.import_job j set status = 'cancelled', finished_at = now(), lease = null where j.import_id = job.import_id;
    end loop;
    update crm.import_job j
    set status = case j.status when 'queued' then 'running' else j.status end, lease = (q ->> 'lease')::uuid,
        leased_until = now() + make_interval(secs => (q ->> 'seconds')::int), started_at = coalesce(j.started_at, now()),
        worked_at = now()
    where j.import_id = job.import_id;
    update crm.import_chunk c set begun = true where (c.import_id, c.chunk_no) = (chunk.import_id, chunk.chunk_no);
    return query select job.import_id, job.actor, job.reason, job.request_id, chunk.chunk_no, chunk.first_line, chunk.body;
end
$$;

-- Says what became of a chunk; the second who says it changes nothing. Says whether it was news.
create function crm.settle_chunk(q jsonb) returns boolean
language plpgsql as $$
declare
    job uuid := (q ->> 'id')::uuid;
    failures bigint := jsonb_array_length(q -> 'failures');
    settled int;
begin
    perform from crm.import_job j where j.import_id = job for no key update;
    delete from crm.import_chunk c where (c.import_id, c.chunk_no) = (job, (q ->> 'chunk_no')::int) returning c.lines into settled;
    if settled is null then
        return false;
    end if;
    insert into crm.import_failure (import_id, line, status, code, pointer, detail)
    select job, f.line, f.status, f.code, f.pointer, f.detail
    from jsonb_to_recordset(q -> 'failures') as f (line bigint, status smallint, code text, pointer text, detail text);
    update crm.import_job j
    set done = j.done + settled - failures, failed = j.failed + failures, position = coalesce(q ->> 'position', j.position),
        lease = null, worked_at = now(),
        status = case when l.more then j.status else 'done' end, finished_at = case when l.more then null else now() end
    from (select exists (select from crm.import_chunk c where c.import_id = job) as more) l
    where j.import_id = job;
    return true;
end
$$;

-- Gives an import back: the store could not take its lines now.
create function crm.release_import(import uuid, lease uuid) returns void
language plpgsql as $$
begin
    update crm.import_job j set lease = null where j.import_id = import and j.lease = release_import.lease;
end
$$;

-- Cancels an import of an actor, or anybody's where none is given: no further line is begun. Gives its status before, or none
-- when there is no such import.
create function crm.cancel_import(q jsonb) returns text
language plpgsql as $$
declare
    before text;
begin
    select j.status into before from crm.import_job j
    where j.import_id = (q ->> 'id')::uuid and (q ->> 'of' is null or j.actor = q ->> 'of') for no key update;
    if before in ('queued', 'running') then
        update crm.import_job j set status = 'cancelling', worked_at = 'epoch' where j.import_id = (q ->> 'id')::uuid;
        insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
        values (q ->> 'actor', 'cancelled', 'import', q ->> 'id', q ->> 'reason', q ->> 'request');
    end if;
    return before;
end
$$;

-- Takes away imports that ended some time ago, and those that broke off before they were whole.
create function crm.forget_imports(days int, receiving_hours int) returns int
language plpgsql as $$
declare
    result int;
begin
    with old as (
        select j.import_id from crm.import_job j
        where j.finished_at < now() - make_interval(days => forget_imports.days)
            or (j.status = 'receiving' and j.worked_at < now() - make_interval(hours => receiving_hours))
        limit 100 for update skip locked
    ), gone as (
        delete from crm.import_job j using old o where j.import_id = o.import_id returning 1
    )
    select count(*) into result from gone;
    return result;
end
$$;
