-- Tiers of members: definitions, what orders reach, history, and how they run out.

create table crm.tier_definition (
    tier_id uuid primary key,
    tier_code text not null unique check (length(tier_code) between 1 and 128),
    name text not null,
    rank int not null check (rank between 1 and 1000),
    basis text not null check (basis in ('spend', 'points', 'orders')),
    threshold bigint not null check (threshold > 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    period text not null check (period in ('rolling', 'calendar', 'anniversary')),
    period_days int check (period_days between 1 and 3660),
    grace_days int not null default 0 check (grace_days between 0 and 3660),
    active boolean not null default true,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((basis = 'spend') = (currency is not null)),
    check ((period = 'rolling') = (period_days is not null))
);
create unique index tier_definition_rank on crm.tier_definition (rank) where active;
comment on table crm.tier_definition is 'What a member must reach for a tier. Without an active one, orders place nobody.';
comment on column crm.tier_definition.tier_id is 'Key.';
comment on column crm.tier_definition.tier_code is 'Your code; identifies the tier.';
comment on column crm.tier_definition.name is 'Name for people.';
comment on column crm.tier_definition.rank is 'Higher is better, 1 to 1000; no two active tiers have one rank.';
comment on column crm.tier_definition.basis is 'What is counted of orders that are bought: spend (net, less what came back), points (earned by them) or orders (of which something stays).';
comment on column crm.tier_definition.threshold is 'How much is needed: minor units of the currency, points, or orders.';
comment on column crm.tier_definition.currency is 'For spend: only orders in this currency count.';
comment on column crm.tier_definition.period is 'Over what is counted: rolling (any period_days days), calendar (a year, UTC) or anniversary (a year from the day of joining).';
comment on column crm.tier_definition.period_days is 'Length of a rolling period in days.';
comment on column crm.tier_definition.grace_days is 'How many days a tier holds on after the period in which it was reached.';
comment on column crm.tier_definition.active is 'Whether members are placed by it.';
comment on column crm.tier_definition.row_version is 'Number of the version of this row.';
comment on column crm.tier_definition.created_at is 'When it was made.';
comment on column crm.tier_definition.updated_at is 'When it last changed.';

create table crm.member_tier (
    member_tier_id uuid primary key,
    member_id uuid not null references crm.member,
    from_tier_code text,
    from_rank int,
    tier_code text,
    rank int,
    reason text not null check (reason in ('reached', 'lapsed', 'manual', 'unmerged')),
    since timestamptz not null,
    until timestamptz,
    check (until >= since)
);
create unique index member_tier_now on crm.member_tier (member_id) where until is null;
create index member_tier_member on crm.member_tier (member_id, since);
comment on table crm.member_tier is 'The tiers that a member had, one row for each change; the one without an end is now.';
comment on column crm.member_tier.member_tier_id is 'Key, ordered by time.';
comment on column crm.member_tier.member_id is 'The member.';
comment on column crm.member_tier.from_tier_code is 'Tier before; null is none.';
comment on column crm.member_tier.from_rank is 'Rank of the tier before; null where none, or without a definition.';
comment on column crm.member_tier.tier_code is 'Tier from then on; null is none.';
comment on column crm.member_tier.rank is 'Its rank; null where none, or without a definition.';
comment on column crm.member_tier.reason is 'reached (by orders), lapsed (period and grace are over), manual (said from outside) or unmerged (the orders went back).';
comment on column crm.member_tier.since is 'When it began.';
comment on column crm.member_tier.until is 'When it ended; null is not yet.';

insert into crm.member_tier (member_tier_id, member_id, tier_code, reason, since)
select crm.uuid7(), member_id, tier_code, 'manual', updated_at from crm.member where tier_code is not null;

-- Writes a change of tier into the history.
create function crm.tier_changed(member uuid, former text, tier text, reason text) returns void
language plpgsql as $$
begin
    update crm.member_tier h set until = greatest(h.since, clock_timestamp()) where h.member_id = tier_changed.member and h.until is null;
    insert into crm.member_tier (member_tier_id, member_id, from_tier_code, from_rank, tier_code, rank, reason, since)
    values (crm.uuid7(), tier_changed.member, former, (select d.rank from crm.tier_definition d where d.tier_code = former),
        tier, (select d.rank from crm.tier_definition d where d.tier_code = tier), tier_changed.reason, clock_timestamp());
end
$$;

-- What one bought order counts for.
create type crm.tier_value as (placed_at timestamptz, currency text, spend bigint, points bigint, orders bigint);

-- What a member's orders since a time count for.
create function crm.tier_values(member uuid, since timestamptz, with_points boolean) returns crm.tier_value[]
language plpgsql stable as $$
begin
    return array(
        select row (o.placed_at, o.currency, greatest(o.net_minor - r.net_minor, 0), p.points,
            case when o.units > r.units or o.net_minor > r.net_minor then 1 else 0 end)::crm.tier_value
        from crm.sales_order o
        cross join lateral (
            select coalesce(sum(b.units), 0) as units, coalesce(sum(b.net_minor), 0)::bigint as net_minor
            from crm.sales_return b where b.order_id = o.order_id and b.status = 'completed') r
        cross join lateral (
            select coalesce(sum(l.points), 0)::bigint as points from crm.points_ledger l
            where with_points and l.order_id = o.order_id and l.member_id is not null
                and l.type in ('earn', 'reverse', 'adjust')) p
        where o.member_id = tier_values.member and o.placed_at >= tier_values.since and crm.bought(o.status));
end
$$;

-- Until when orders hold a tier, without grace; null where they never reached it. `joined` is when the member did.
create function crm.tier_lapse(d crm.tier_definition, orders crm.tier_value[], joined timestamptz) returns timestamptz
language plpgsql stable as $$
declare
    span interval := make_interval(days => d.period_days);
    lapse timestamptz;
begin
    if d.period = 'rolling' then
        -- From each order on: what came within the period of it, itself included.
        select max(w.placed_at) + span into lapse from (
            select v.placed_at, sum(case d.basis when 'spend' then v.spend when 'points' then v.points else v.orders end)
                over (order by v.placed_at range between current row and span following) as reached
            from unnest(orders) v where d.currency is null or v.currency = d.currency) w
        where w.reached >= d.threshold;
        return lapse;
    end if;
    select max(w.ends) into lapse from (
        select case d.period when 'calendar'
                then (date_trunc('year', v.placed_at at time zone 'UTC') + interval '1 year') at time zone 'UTC'
                else joined + make_interval(years => 1 + extract(year from age(v.placed_at, joined))::int) end as ends,
            sum(case d.basis when 'spend' then v.spend when 'points' then v.points else v.orders end) as reached
        from unnest(orders) v
        where (d.currency is null or v.currency = d.currency) and (d.period = 'calendar' or v.placed_at >= joined)
        group by 1) w
    where w.reached >= d.threshold;
    return lapse;
end
$$;

-- The tier that a member's orders hold at a time; nothing where they hold none.
create function crm.tier_due(member crm.member, at timestamptz, out tier_code text, out rank int, out valid_to timestamptz)
language plpgsql stable as $$
declare
    orders crm.tier_value[];
    definition crm.tier_definition;
begin
    select crm.tier_values(member.member_id,
        at - make_interval(days => max(coalesce(d.period_days, 366) + d.grace_days)), bool_or(d.basis = 'points'))
    into orders
    from crm.tier_definition d where d.active;
    for definition in select * from crm.tier_definition d where d.active order by d.rank desc loop
        valid_to := crm.tier_lapse(definition, orders, member.enrolled_at) + make_interval(days => definition.grace_days);
        if valid_to > at then
            tier_code := definition.tier_code;
            rank := definition.rank;
            return;
        end if;
    end loop;
    valid_to := null;
end
$$;

-- Places members by their orders: up at once, down only where their time is over or `strict` says so. A tier said from outside holds
-- for its time.
create function crm.place_each(members uuid[], at timestamptz, strict boolean) returns int
language plpgsql as $$
declare
    was crm.member;
    due record;
    had int;
    changed int := 0;
begin
    for was in select * from crm.member m where m.member_id = any (members) and m.status not in ('merged', 'erased') order by m.member_no loop
        continue when was.tier_manual and (was.tier_valid_to <= at) is not true;
        select * into due from crm.tier_due(was, at);
        had := (select d.rank from crm.tier_definition d where d.tier_code = was.tier_code);
        if not strict and not (was.tier_valid_to <= at) is true and (due.rank < coalesce(had, 0)
            or due.rank is null or (due.rank = had and due.valid_to <= was.tier_valid_to))
        then
            continue;
        end if;
        continue when (was.tier_code, was.tier_valid_to, was.tier_manual) is not distinct from (due.tier_code, due.valid_to, false);
        perform crm.lock_members(array[was.member_id]);
        update crm.member m set tier_code = due.tier_code, tier_valid_to = due.valid_to, tier_manual = false,
            row_version = m.row_version + 1, updated_at = now()
        where m.member_id = was.member_id and m.row_version = was.row_version;
        if not found then
            raise exception 'a member is being changed' using errcode = 'deadlock_detected';
        end if;
        if was.tier_code is distinct from due.tier_code then
            perform crm.tier_changed(was.member_id, was.tier_code, due.tier_code,
                case when due.rank > coalesce(had, 0) then 'reached' when strict then 'unmerged' else 'lapsed' end);
        end if;
        changed := changed + 1;
    end loop;
    return changed;
end
$$;

-- Places the owners of orders that were just written; their points accounts are locked by the caller, so that one transaction at a
-- time counts a member's orders.
create or replace function crm.place_tiers(members uuid[]) returns void
language plpgsql as $$
begin
    if exists (select from crm.tier_definition d where d.active) then
        perform crm.place_each(members, now(), false);
    end if;
end
$$;

-- Places some members anew whose tier has come to its end; gives how many changed. Members in use are left for the next time.
create function crm.sweep_tiers(moment timestamptz, most int) returns int
language plpgsql as $$
declare
    due uuid[];
begin
    select array_agg(d.member_id) into due from (
        select m.member_id from crm.member m where m.tier_valid_to <= moment and m.status not in ('merged', 'erased')
        order by m.tier_valid_to limit most
        for no key update skip locked) d;
    return crm.place_each(due, moment, false);
end
$$;

create function crm.do_tier(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    stored crm.tier_definition;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (tier_code text, name text, rank int, basis text, threshold bigint, currency text,
            period text, period_days int, grace_days int, active boolean)
    loop
        if coalesce(item.active, true) and exists (
            select from crm.tier_definition d where d.active and d.rank = item.rank and d.tier_code <> item.tier_code)
        then
            answers := answers || crm.fault(item.i, 'tier_rank_taken', '/rank', 'another active tier has this rank');
            continue;
        end if;
        insert into crm.tier_definition as t (tier_id, tier_code, name, rank, basis, threshold, currency, period, period_days, grace_days, active)
        values (item.id, item.tier_code, item.name, item.rank, item.basis, item.threshold, item.currency, item.period, item.period_days,
            coalesce(item.grace_days, 0), coalesce(item.active, true))
        on conflict (tier_code) do update set name = excluded.name, rank = excluded.rank, basis = excluded.basis,
            threshold = excluded.threshold, currency = excluded.currency, period = excluded.period, period_days = excluded.period_days,
            grace_days = excluded.grace_days, active = excluded.active, row_version = t.row_version + 1, updated_at = now()
        where (t.name, t.rank, t.basis, t.threshold, t.currency, t.period, t.period_days, t.grace_days, t.active) is distinct from
            (excluded.name, excluded.rank, excluded.basis, excluded.threshold, excluded.currency, excluded.period,
            excluded.period_days, excluded.grace_days, excluded.active)
        returning * into stored;
        if stored.tier_id is null then
            select * into stored from crm.tier_definition d where d.tier_code = item.tier_code;
            answers := answers || crm.answer(item.i, item.c, 'tier', stored.tier_id, 'unchanged', stored.row_version);
        else
            answers := answers || crm.answer(item.i, item.c, 'tier', stored.tier_id,
                case stored.row_version when 1 then 'created' else 'updated' end, stored.row_version);
        end if;
    end loop;
    return answers;
end
$$;

-- Sets a member's tier from outside, or gives it back to what the orders say.
create function crm.do_member_tier(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    was crm.member;
    due record;
    version bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text, tier_code text, until timestamptz)
    loop
        select * into was from crm.member m where m.member_no = item.member_no for no key update;
        if was.member_id is null then
            answers := answers || crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number; put the member first');
        elsif was.status in ('merged', 'erased') then
            answers := answers || crm.fault(item.i, 'member_closed', '/member_no', 'this member is ' || was.status || ' and takes no updates');
        elsif item.tier_code is not null and not exists (select from crm.tier_definition d where d.tier_code = item.tier_code) then
            answers := answers || crm.fault(item.i, 'unknown_tier', '/tier_code', 'there is no tier with this code; put the tier first');
        else
            if item.tier_code is null then
                select * into due from crm.tier_due(was, now());
            else
                select item.tier_code as tier_code, item.until as valid_to into due;
            end if;
            update crm.member m set tier_code = due.tier_code, tier_valid_to = due.valid_to, tier_manual = item.tier_code is not null,
                row_version = m.row_version + 1, updated_at = now()
            where m.member_id = was.member_id and (m.tier_code, m.tier_valid_to, m.tier_manual) is distinct from
                (due.tier_code, due.valid_to, item.tier_code is not null)
            returning m.row_version into version;
            if was.tier_code is distinct from due.tier_code then
                perform crm.tier_changed(was.member_id, was.tier_code, due.tier_code, 'manual');
            end if;
            answers := answers || crm.acted(item.i, item.c, 'member', was.member_id,
                case when version is null then 'unchanged' else 'updated' end, coalesce(version, was.row_version),
                jsonb_build_object('tier_code', due.tier_code, 'tier_valid_to', due.valid_to));
        end if;
    end loop;
    return answers;
end
$$;
