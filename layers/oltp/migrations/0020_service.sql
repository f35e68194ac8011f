-- What hangs around a sale: campaigns and what they cost, shipments, tickets of the service desk, subscriptions, and the
-- approval of a decision. State that other systems own comes in snapshots: the newer one wins, an equal one is no news.

create table crm.campaign (
    campaign_id uuid primary key,
    campaign_code text not null unique check (length(campaign_code) between 1 and 128),
    name text not null,
    channel text not null check (channel in ('email', 'sms', 'push', 'phone', 'post', 'ads', 'web', 'store')),
    status text not null default 'draft' check (status in ('draft', 'active', 'paused', 'ended')),
    starts_at timestamptz,
    ends_at timestamptz,
    budget_minor bigint check (budget_minor >= 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (ends_at > starts_at),
    check (budget_minor is null or currency is not null)
);

-- Platforms restate their reports for weeks: a row is what a day of a level is said to have cost by now.
create table crm.ad_spend (
    ad_spend_id uuid primary key,
    platform text not null check (length(platform) between 1 and 64),
    account text not null check (length(account) between 1 and 128),
    level text not null check (level in ('account', 'campaign', 'ad_group', 'ad')),
    level_no text not null check (length(level_no) between 1 and 128),
    day date not null,
    breakdown text not null default '' check (length(breakdown) <= 256),
    campaign_id uuid references crm.campaign,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    spend_minor bigint not null check (spend_minor >= 0),
    impressions bigint not null default 0 check (impressions >= 0),
    clicks bigint not null default 0 check (clicks >= 0),
    conversions numeric(18, 4) not null default 0 check (conversions >= 0),
    conversion_value_minor bigint not null default 0,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (platform, account, level, level_no, day, breakdown)
);
create index on crm.ad_spend (day);
create index on crm.ad_spend (campaign_id, day);

create table crm.shipment (
    shipment_id uuid primary key,
    source text not null check (length(source) between 1 and 64),
    shipment_no text not null check (length(shipment_no) between 1 and 128),
    order_id uuid,
    member_id uuid,
    carrier text,
    tracking_no text,
    status text not null default 'unknown' check (status in ('unknown', 'pre_transit', 'in_transit', 'out_for_delivery', 'delivered',
        'available_for_pickup', 'return_to_sender', 'failure', 'cancelled')),
    status_at timestamptz,
    estimated_delivery_at timestamptz,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (shipment_no, source)
);
create index on crm.shipment (order_id);
create index on crm.shipment (member_id);

create table crm.shipment_line (
    shipment_id uuid not null references crm.shipment,
    line_no int not null check (line_no between 1 and 10000),
    member_id uuid,
    quantity numeric(18, 4) not null check (quantity >= 0),
    primary key (shipment_id, line_no)
);

create table crm.shipment_event (
    shipment_event_id uuid primary key,
    shipment_id uuid not null references crm.shipment,
    member_id uuid,
    status text not null,
    at timestamptz not null,
    message text not null default '',
    location text,
    unique (shipment_id, at, status, message)
);

create table crm.ticket (
    ticket_id uuid primary key,
    source text not null check (length(source) between 1 and 64),
    ticket_no text not null check (length(ticket_no) between 1 and 128),
    member_id uuid,
    contact text,
    order_id uuid,
    channel text not null default 'other' check (channel in ('email', 'phone', 'chat', 'web', 'store', 'social', 'other')),
    type text not null default 'question' check (type in ('question', 'complaint', 'incident', 'return', 'task')),
    priority text not null default 'normal' check (priority in ('low', 'normal', 'high', 'urgent')),
    status text not null default 'new' check (status in ('new', 'open', 'pending', 'hold', 'solved', 'closed')),
    opened_at timestamptz not null,
    first_reply_at timestamptz,
    solved_at timestamptz,
    csat_score smallint check (csat_score between 1 and 5),
    tags text[] not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (ticket_no, source)
);
create index on crm.ticket (member_id, opened_at desc);
create index on crm.ticket (order_id);

create table crm.ticket_event (
    ticket_event_id uuid primary key,
    ticket_id uuid not null references crm.ticket,
    member_id uuid,
    field text not null check (field in ('status', 'priority', 'csat_score', 'order_id', 'member_id')),
    before text,
    after text,
    at timestamptz not null
);
create index on crm.ticket_event (ticket_id, at);

create table crm.subscription (
    subscription_id uuid primary key,
    source text not null check (length(source) between 1 and 64),
    subscription_no text not null check (length(subscription_no) between 1 and 128),
    member_id uuid not null references crm.member,
    sku_id uuid not null references crm.sku,
    quantity numeric(18, 4) not null check (quantity > 0),
    status text not null default 'active' check (status in ('trialing', 'active', 'paused', 'cancelled', 'expired')),
    interval_unit text not null check (interval_unit in ('day', 'week', 'month', 'year')),
    interval_count int not null check (interval_count between 1 and 365),
    price_minor bigint not null check (price_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    started_at timestamptz not null,
    next_order_at timestamptz,
    cancelled_at timestamptz,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (subscription_no, source),
    check ((status = 'cancelled') = (cancelled_at is not null))
);
create index on crm.subscription (member_id);
create index on crm.subscription (next_order_at) where status in ('trialing', 'active');

-- A person's word on a recommendation that was held for it. One recommendation gets one.
create table crm.approval (
    approval_id uuid primary key,
    recommendation_id uuid not null unique references crm.recommendation,
    member_id uuid,
    verdict text not null check (verdict in ('approved', 'rejected', 'expired')),
    decided_by text not null,
    reason text,
    at timestamptz not null
);

create trigger append_only before update or delete or truncate on crm.approval
    for each statement execute function crm.append_only();

-- The owner of these may change: what travels under a member's key says which key it had.
alter table crm.shipment replica identity full;
alter table crm.ticket replica identity full;
alter table crm.subscription replica identity full;

-- Puts ids in the place of names: order_source and order_no, member_no, member_kind and member_token (an identity that may be
-- unknown: it stays as `contact`), sku_code, campaign_code. An order brings its owner. What cannot be found is a fault.
create function crm.named(b jsonb) returns jsonb
language plpgsql stable as $$
declare
    out jsonb := b - '{order_source,order_no,member_no,member_kind,member_token,sku_code,campaign_code}'::text[];
    found_id uuid;
    owner uuid;
begin
    if b ->> 'order_no' is not null then
        select o.order_id, o.member_id into found_id, owner from crm.sales_order o
        where (o.source, o.order_no) = (b ->> 'order_source', b ->> 'order_no');
        if found_id is null then
            return jsonb_build_object('fault', 'unknown_order', 'pointer', '/order_no',
                'detail', 'there is no order with this source and number; put the order first');
        end if;
        out := out || jsonb_build_object('order_id', found_id, 'member_id', owner);
    end if;
    if b ->> 'member_no' is not null then
        select coalesce(m.merged_into_member_id, m.member_id) into owner from crm.member m where m.member_no = b ->> 'member_no';
        if owner is null then
            return jsonb_build_object('fault', 'unknown_member', 'pointer', '/member_no',
                'detail', 'there is no member with this number; put the member first');
        end if;
        out := out || jsonb_build_object('member_id', owner);
    elsif b ->> 'member_kind' is not null then
        select h.member_id into owner from crm.member_identity h
        where (h.kind, h.token) = (b ->> 'member_kind', b ->> 'member_token') and h.strength = 'strong';
        out := out || case when owner is null
            then jsonb_build_object('contact', (b ->> 'member_kind') || ':' || (b ->> 'member_token'))
            else jsonb_build_object('member_id', owner, 'contact', null) end;
    end if;
    if b ->> 'sku_code' is not null then
        select k.sku_id into found_id from crm.sku k where k.sku_code = b ->> 'sku_code';
        if found_id is null then
            return jsonb_build_object('fault', 'unknown_sku', 'pointer', '/sku_code',
                'detail', 'there is no SKU with this code; put the SKU first');
        end if;
        out := out || jsonb_build_object('sku_id', found_id);
    end if;
    if b ->> 'campaign_code' is not null then
        select k.campaign_id into found_id from crm.campaign k where k.campaign_code = b ->> 'campaign_code';
        if found_id is null then
            return jsonb_build_object('fault', 'unknown_campaign', 'pointer', '/campaign_code',
                'detail', 'there is no campaign with this code; put the campaign first');
        end if;
        out := out || jsonb_build_object('campaign_id', found_id);
    end if;
    return out;
end
$$;

-- Puts one record of state whole: `ask` has each column that the source speaks of, under the names of the table, and `keys` are
-- the columns that identify it. Gives the row as it was before, if it was there, and the answer. Column names are the program's
-- own, values are parameters.
create function crm.put_record(entity text, keys text[], i int, c jsonb, id uuid, ask jsonb, out old jsonb, out answer jsonb)
language plpgsql as $$
declare
    id_column text := entity || '_id';
    -- As the table would hold it.
    asked jsonb;
    columns text;
    version bigint;
begin
    execute format('select to_jsonb(jsonb_populate_record(null::crm.%I, $1))', entity) into asked using ask;
    asked := (select jsonb_object_agg(k, asked -> k) from jsonb_object_keys(ask) k);
    execute format('select to_jsonb(t) from crm.%I t where (%s) = (select %s from jsonb_populate_record(null::crm.%I, $1)) for no key update',
        entity, (select string_agg(format('t.%I', k), ', ') from unnest(keys) k),
        (select string_agg(quote_ident(k), ', ') from unnest(keys) k), entity) into old using ask;
    if old is null then
        select string_agg(quote_ident(k), ', ') into columns from jsonb_object_keys(ask) k where ask -> k <> 'null';
        -- Somebody who made it at the same moment raises an exception, and this is tried again.
        execute format('insert into crm.%I (%I, %s) select $1, %s from jsonb_populate_record(null::crm.%I, $2)',
            entity, id_column, columns, columns, entity) using id, ask;
        answer := crm.answer(i, c, entity, id, 'created', 1);
        return;
    end if;
    -- Older, or no news: a newer time alone is news, it must hold off what comes late. No time is no claim to be newer.
    if (asked ->> 'source_updated_at')::timestamptz < (old ->> 'source_updated_at')::timestamptz
        or old @> (case when ask ->> 'source_updated_at' is null then asked - 'source_updated_at' else asked end) then
        answer := crm.answer(i, c, entity, (old ->> id_column)::uuid, 'unchanged', (old ->> 'row_version')::bigint);
        return;
    end if;
    select string_agg(quote_ident(k), ', ') into columns from jsonb_object_keys(ask) k
    where k <> 'source_updated_at' or ask ->> k is not null;
    execute format('update crm.%I t set (%s, row_version, updated_at) = (select %s, t.row_version + 1, now()
        from jsonb_populate_record(null::crm.%I, $2)) where t.%I = $1 returning t.row_version',
        entity, columns, columns, entity, id_column) into version using (old ->> id_column)::uuid, ask;
    answer := crm.answer(i, c, entity, (old ->> id_column)::uuid, 'updated', version);
end
$$;

create function crm.do_campaign(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    put record;
    answers jsonb := '[]';
begin
    for item in select x.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        put := crm.put_record('campaign', '{campaign_code}', item.i, item.c, item.id, item.b);
        answers := answers || put.answer;
    end loop;
    return answers;
end
$$;

create function crm.do_ad_spend(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ask jsonb;
    put record;
    answers jsonb := '[]';
begin
    for item in select x.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        ask := crm.named(item.b);
        if ask ? 'fault' then
            answers := answers || (ask || jsonb_build_object('i', item.i));
            continue;
        end if;
        put := crm.put_record('ad_spend', '{platform,account,level,level_no,day,breakdown}', item.i, item.c, item.id, ask);
        answers := answers || put.answer;
    end loop;
    return answers;
end
$$;

create function crm.do_subscription(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ask jsonb;
    put record;
    answers jsonb := '[]';
begin
    for item in select x.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        ask := crm.named(item.b);
        if ask ? 'fault' then
            answers := answers || (ask || jsonb_build_object('i', item.i));
            continue;
        end if;
        put := crm.put_record('subscription', '{subscription_no,source}', item.i, item.c, item.id, ask);
        answers := answers || put.answer;
    end loop;
    return answers;
end
$$;

-- Tickets, with a line in their history for each field that tells how service went.
create function crm.do_ticket(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ask jsonb;
    put record;
    ticket crm.ticket;
    answers jsonb := '[]';
begin
    for item in select x.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        ask := crm.named(item.b);
        if ask ? 'fault' then
            answers := answers || (ask || jsonb_build_object('i', item.i));
            continue;
        end if;
        put := crm.put_record('ticket', '{ticket_no,source}', item.i, item.c, item.id, ask);
        answers := answers || put.answer;
        continue when put.answer ->> 'effect' = 'unchanged';
        select * into ticket from crm.ticket t where t.ticket_id = (put.answer ->> 'id')::uuid;
        insert into crm.ticket_event (ticket_event_id, ticket_id, member_id, field, before, after, at)
        select crm.uuid7(), ticket.ticket_id, ticket.member_id, f.field, put.old ->> f.field, to_jsonb(ticket) ->> f.field,
            coalesce(ticket.source_updated_at, case when put.old is null then ticket.opened_at end, now())
        from unnest('{status,priority,csat_score,order_id,member_id}'::text[]) f (field)
        where put.old ->> f.field is distinct from to_jsonb(ticket) ->> f.field;
    end loop;
    return answers;
end
$$;

-- Shipments with what they hold and their checkpoints. Checkpoints only grow, in whatever order they come; without a status of
-- its own a shipment is where its latest checkpoint says.
create function crm.do_shipment(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ask jsonb;
    put record;
    owner uuid;
    news bigint;
    answers jsonb := '[]';
begin
    for item in select x.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        ask := crm.named(item.b);
        if ask ? 'fault' then
            answers := answers || (ask || jsonb_build_object('i', item.i));
            continue;
        end if;
        put := crm.put_record('shipment', '{shipment_no,source}', item.i, item.c, item.id, ask - '{lines,events}'::text[]);
        select s.member_id into owner from crm.shipment s where s.shipment_id = (put.answer ->> 'id')::uuid;
        news := crm.put_shipment_lines((put.answer ->> 'id')::uuid, owner, coalesce(ask -> 'lines', '[]'))
            + crm.add_shipment_events((put.answer ->> 'id')::uuid, owner, coalesce(ask -> 'events', '[]'));
        if news > 0 and put.answer ->> 'effect' = 'unchanged' then
            put.answer := crm.answer(item.i, item.c, 'shipment', (put.answer ->> 'id')::uuid, 'updated',
                (select s.row_version from crm.shipment s where s.shipment_id = (put.answer ->> 'id')::uuid));
        end if;
        answers := answers || put.answer;
    end loop;
    return answers;
end
$$;

-- What a shipment holds, by the order's line numbers; gives the number of rows touched. What is not told stays as it is.
create function crm.put_shipment_lines(shipment uuid, owner uuid, lines jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.shipment_line as t (shipment_id, line_no, member_id, quantity)
        select shipment, l.line_no, owner, l.quantity from jsonb_to_recordset(lines) as l (line_no int, quantity numeric)
        on conflict (shipment_id, line_no) do update set quantity = excluded.quantity, member_id = excluded.member_id
        where (t.quantity, t.member_id) is distinct from (excluded.quantity, excluded.member_id)
        returning 1
    )
    select count(*) from put
    into result;
    return result;
end
$$;

-- Checkpoints of a shipment that are new; gives their number. The shipment is where the latest one says, unless its source said
-- something later.
create function crm.add_shipment_events(shipment uuid, owner uuid, events jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with new as (
        insert into crm.shipment_event (shipment_event_id, shipment_id, member_id, status, at, message, location)
        select distinct on (e.at, e.status, coalesce(e.message, '')) e.id, shipment, owner, e.status, e.at, coalesce(e.message, ''), e.location
        from jsonb_to_recordset(events) as e (id uuid, status text, at timestamptz, message text, location text)
        on conflict (shipment_id, at, status, message) do nothing
        returning 1
    )
    select count(*) from new
    into result;
    if result > 0 then
        update crm.shipment s set status = e.status, status_at = e.at, row_version = s.row_version + 1, updated_at = now()
        from (select v.status, v.at from crm.shipment_event v where v.shipment_id = shipment
            order by v.at desc, v.shipment_event_id desc limit 1) e
        where s.shipment_id = shipment and (s.status_at is null or e.at >= s.status_at)
            and (s.status, s.status_at) is distinct from (e.status, e.at);
    end if;
    return result;
end
$$;
create trigger append_only before delete or truncate on crm.shipment_event
    for each statement execute function crm.append_only();
create trigger append_only before delete or truncate on crm.ticket_event
    for each statement execute function crm.append_only();

-- Records what a person said to a recommendation; the first word stands. Gives it, and whether it had been given before.
create function crm.record_approval(q jsonb) returns jsonb
language plpgsql as $$
declare
    w crm.approval;
    stored crm.approval;
begin
    w := jsonb_populate_record(null::crm.approval, q);
    select r.member_id into w.member_id from crm.recommendation r where r.recommendation_id = w.recommendation_id for no key update;
    if not found then
        return null;
    end if;
    insert into crm.approval select w.* on conflict (recommendation_id) do nothing;
    if found then
        insert into crm.audit_log (actor, action, entity, entity_id, reason)
        values (w.decided_by, w.verdict, 'recommendation', w.recommendation_id::text, w.reason);
    end if;
    select * into stored from crm.approval a where a.recommendation_id = w.recommendation_id;
    return jsonb_build_object('id', stored.approval_id, 'verdict', stored.verdict, 'repeated', stored.approval_id <> w.approval_id);
end
$$;
