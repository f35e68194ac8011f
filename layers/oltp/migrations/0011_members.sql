-- Members: identities of many kinds, the history of consents, tiers, memberships of other programmes, merge and un-merge, erasure,
-- export, and the look-up at the till.
--
-- Locks come in one order everywhere: orders, coupons, points accounts, then rows of `member`. Whoever holds an account never waits for a
-- row of `member`: if another transaction has it, the whole is tried again.

-- The member and where it went.

alter table crm.member
    add column merged_into_member_id uuid references crm.member,
    add column erased_at timestamptz,
    add column tier_manual boolean not null default false,
    add column tier_valid_to timestamptz,
    add constraint member_merged check ((status = 'merged') = (merged_into_member_id is not null)),
    add constraint member_erased check ((status = 'erased') = (erased_at is not null)),
    add constraint member_not_itself check (merged_into_member_id <> member_id);
update crm.member set tier_manual = true where tier_code is not null;
create index member_merged_into on crm.member (merged_into_member_id) where merged_into_member_id is not null;
create index member_tier_ends on crm.member (tier_valid_to) where tier_valid_to is not null;

comment on column crm.member.merged_into_member_id is 'The member that this one was merged into, at the end of any chain; set while status is merged.';
comment on column crm.member.erased_at is 'When the personal data were erased; set while status is erased.';
comment on column crm.member.tier_manual is 'Whether the tier was said from outside: then orders do not change it before tier_valid_to, or ever where that is null.';
comment on column crm.member.tier_valid_to is 'Until when the tier holds if nothing more comes; null is for ever, or that there is no tier. A sweep places the member anew then.';

-- The member who has all that a member had: itself, or whom it was merged into. One step: chains are kept flat.
create or replace function crm.owner_of(member uuid) returns uuid
language plpgsql stable as $$
begin
    return (select coalesce(m.merged_into_member_id, m.member_id) from crm.member m where m.member_id = owner_of.member);
end
$$;

-- A member and all who were merged into it.
create function crm.persons_of(member uuid) returns uuid[]
language plpgsql stable as $$
begin
    return array(
        select m.member_id from crm.member m where m.member_id = persons_of.member
        union all
        select m.member_id from crm.member m where m.merged_into_member_id = persons_of.member);
end
$$;

-- A line of the audit log about a member, beside the one of the command's answer.
create function crm.audit_member(c jsonb, action text, member uuid) returns void
language plpgsql as $$
begin
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    values (c ->> 'actor', action, 'member', member::text, c ->> 'reason', c ->> 'request');
end
$$;

-- Locks members whose accounts this transaction holds, in one order. Who has one of them may wait for such an account: then the
-- whole is tried again.
create function crm.lock_members(members uuid[]) returns void
language plpgsql as $$
declare
    locked bigint;
begin
    select count(*) into locked from (
        select from crm.member m where m.member_id = any (members) order by m.member_no for no key update skip locked) l;
    if locked < (select count(*) from crm.member m where m.member_id = any (members)) then
        raise exception 'a member is being changed' using errcode = 'deadlock_detected';
    end if;
end
$$;

-- Identities.

alter table crm.member_identity
    drop constraint member_identity_kind_check,
    add constraint member_identity_kind check (kind in ('email', 'phone', 'card', 'anonymous', 'external', 'relay_email', 'device')),
    add constraint member_identity_weak_kinds check (strength = 'weak' or kind not in ('relay_email', 'device')),
    add column verified_at timestamptz,
    add column first_seen_at timestamptz,
    add column last_seen_at timestamptz,
    add column confidence numeric(4, 3) check (confidence between 0 and 1),
    add check (last_seen_at >= first_seen_at);
create index member_identity_weak on crm.member_identity (kind, token) where strength = 'weak';

comment on column crm.member_identity.verified_at is 'When the member proved that it is theirs; null is never.';
comment on column crm.member_identity.first_seen_at is 'When a source first saw it with the member; null where no source said.';
comment on column crm.member_identity.last_seen_at is 'When a source last saw it with the member; null where no source said.';
comment on column crm.member_identity.confidence is 'How sure the source was, 0 to 1; null where it did not say.';

-- Identities of a member, new ones and what is new about known ones; gives the number that changed. A strong one of another member at
-- the same moment raises an exception. A weak one becomes strong, never the other way.
create or replace function crm.add_identities(member uuid, tokens jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    if tokens = '[]' then
        return 0;
    end if;
    with said as (
        select distinct on (t.kind, t.token) t.id, t.kind, t.token, coalesce(t.strength, 'strong') as strength, t.value, t.verified_at,
            t.seen_at, t.confidence
        from jsonb_to_recordset(tokens) as t (id uuid, kind text, token text, strength text, value text, verified_at timestamptz,
            seen_at timestamptz, confidence numeric)
        order by t.kind, t.token, t.strength
    ), known as (
        update crm.member_identity o set strength = case s.strength when 'strong' then 'strong' else o.strength end,
            verified_at = greatest(o.verified_at, s.verified_at), first_seen_at = least(o.first_seen_at, s.seen_at),
            last_seen_at = greatest(o.last_seen_at, s.seen_at), confidence = coalesce(s.confidence, o.confidence)
        from said s
        where (o.kind, o.token, o.member_id) = (s.kind, s.token, add_identities.member)
            and (greatest(o.verified_at, s.verified_at) is distinct from o.verified_at
                or least(o.first_seen_at, s.seen_at) is distinct from o.first_seen_at
                or greatest(o.last_seen_at, s.seen_at) is distinct from o.last_seen_at
                or (s.confidence is not null and s.confidence is distinct from o.confidence)
                or (s.strength = 'strong' and o.strength = 'weak'))
        returning 1
    ), new as (
        insert into crm.member_identity (identity_id, member_id, kind, token, strength, verified_at, first_seen_at, last_seen_at, confidence)
        select s.id, add_identities.member, s.kind, s.token, s.strength, s.verified_at, s.seen_at, s.seen_at, s.confidence
        from said s
        where not exists (
            select from crm.member_identity o where (o.kind, o.token, o.member_id) = (s.kind, s.token, add_identities.member))
        returning identity_id
    ), value as (
        insert into crm.member_identity_value (identity_id, value)
        select n.identity_id, s.value from new n join said s on s.id = n.identity_id
    )
    select (select count(*) from known) + (select count(*) from new)
    into result;
    return result;
end
$$;

-- Takes identities from members. One that the member does not have is gone already.
create function crm.do_member_unlink(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    owner crm.member;
    taken bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text, tokens jsonb)
    loop
        select * into owner from crm.member m where m.member_no = item.member_no for no key update;
        if owner.member_id is null then
            answers := answers || crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number');
            continue;
        end if;
        if owner.status = 'merged' then
            answers := answers || crm.fault(item.i, 'member_closed', '/member_no', 'this member is merged: its identities are with the other');
            continue;
        end if;
        with gone as (
            delete from crm.member_identity o using jsonb_to_recordset(item.tokens) as t (kind text, token text)
            where (o.kind, o.token, o.member_id) = (t.kind, t.token, owner.member_id)
            returning 1)
        select count(*) into taken from gone;
        answers := answers || crm.answer(item.i, item.c, 'member', owner.member_id,
            case when taken > 0 then 'updated' else 'unchanged' end, owner.row_version);
    end loop;
    return answers;
end
$$;

-- Consents: what was said, whenever it came; the current state is the newest of it, over all that were merged into a member.

alter table crm.consent
    add column legal_basis text check (legal_basis in ('consent', 'contract', 'legitimate_interest', 'legal_obligation'));
comment on column crm.consent.legal_basis is 'What the processing rests on by law: consent, contract, legitimate_interest or legal_obligation; null where nobody said.';

create table crm.consent_event (
    consent_event_id uuid primary key,
    member_id uuid not null references crm.member,
    purpose text not null check (purpose in ('marketing', 'personalisation', 'analytics', 'ads_sharing')),
    channel text not null check (channel in ('email', 'sms', 'push', 'phone', 'post', 'ads', 'web')),
    status text not null check (status in ('granted', 'denied', 'revoked')),
    source text,
    legal_basis text check (legal_basis in ('consent', 'contract', 'legitimate_interest', 'legal_obligation')),
    status_at timestamptz not null,
    expires_at timestamptz,
    recorded_at timestamptz not null default now(),
    unique (member_id, purpose, channel, status_at, status)
);
create trigger append_only before update or delete or truncate on crm.consent_event
    for each statement execute function crm.append_only();
comment on table crm.consent_event is 'What a member ever said about a purpose on a channel; only grows. Statements that came late are here too.';
comment on column crm.consent_event.consent_event_id is 'Key, ordered by time.';
comment on column crm.consent_event.member_id is 'Who said it; stays so when the member is merged.';
comment on column crm.consent_event.purpose is 'What for: marketing, personalisation, analytics or ads_sharing.';
comment on column crm.consent_event.channel is 'By what: email, sms, push, phone, post, ads or web.';
comment on column crm.consent_event.status is 'granted, denied or revoked.';
comment on column crm.consent_event.source is 'Where it was said, such as a form; null where nobody said.';
comment on column crm.consent_event.legal_basis is 'What the processing rests on by law.';
comment on column crm.consent_event.status_at is 'When it was said.';
comment on column crm.consent_event.expires_at is 'Until when it holds; null is without end.';
comment on column crm.consent_event.recorded_at is 'When the store had it.';

-- Proof of consents: may be personal, not published.
create table crm.consent_evidence (
    consent_event_id uuid primary key references crm.consent_event,
    evidence text not null
);
comment on table crm.consent_evidence is 'Proof of statements about consent. May be personal: not published, and erased with the member.';
comment on column crm.consent_evidence.consent_event_id is 'The statement.';
comment on column crm.consent_evidence.evidence is 'The proof, such as the wording and where it was shown.';

insert into crm.consent_event (consent_event_id, member_id, purpose, channel, status, source, status_at, expires_at)
select consent_id, member_id, purpose, channel, status, source, status_at, expires_at from crm.consent;

-- Makes a member's consents what was last said, by it or by any that was merged into it; gives the number that changed. Of two
-- statements of one moment, the one that allows less holds.
create function crm.settle_consents(member uuid) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with due as (
        select distinct on (e.purpose, e.channel) e.*
        from crm.consent_event e where e.member_id = any (crm.persons_of(settle_consents.member))
        order by e.purpose, e.channel, e.status_at desc, e.status = 'granted', e.consent_event_id
    ), put as (
        insert into crm.consent as t (consent_id, member_id, purpose, channel, status, source, legal_basis, status_at, expires_at)
        select crm.uuid7(), settle_consents.member, d.purpose, d.channel, d.status, d.source, d.legal_basis, d.status_at, d.expires_at
        from due d
        on conflict (member_id, purpose, channel) do update set status = excluded.status, source = excluded.source,
            legal_basis = excluded.legal_basis, status_at = excluded.status_at, expires_at = excluded.expires_at,
            row_version = t.row_version + 1
        where (t.status, t.source, t.legal_basis, t.status_at, t.expires_at) is distinct from
            (excluded.status, excluded.source, excluded.legal_basis, excluded.status_at, excluded.expires_at)
        returning 1
    ), gone as (
        delete from crm.consent t
        where t.member_id = settle_consents.member
            and not exists (select from due d where (d.purpose, d.channel) = (t.purpose, t.channel))
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- Consents of a member; gives the number of those that changed. A status that is so already is no news, unless it comes with a
-- time of its own.
create or replace function crm.put_consents(member uuid, consents jsonb) returns bigint
language plpgsql as $$
declare
    news bigint;
begin
    if consents = '[]' then
        return 0;
    end if;
    with said as (
        select * from jsonb_to_recordset(consents) as c (id uuid, purpose text, channel text, status text, status_at timestamptz,
            timed boolean, expires_at timestamptz, source text, legal_basis text, evidence text)
    ), new as (
        insert into crm.consent_event (consent_event_id, member_id, purpose, channel, status, source, legal_basis, status_at, expires_at)
        select c.id, put_consents.member, c.purpose, c.channel, c.status, c.source, c.legal_basis, c.status_at, c.expires_at
        from said c
        where c.timed or not exists (
            select from crm.consent o
            where (o.member_id, o.purpose, o.channel, o.status) = (put_consents.member, c.purpose, c.channel, c.status)
                and (o.expires_at, o.source, o.legal_basis) is not distinct from (c.expires_at, c.source, c.legal_basis))
        on conflict (member_id, purpose, channel, status_at, status) do nothing
        returning consent_event_id
    ), proof as (
        insert into crm.consent_evidence (consent_event_id, evidence)
        select n.consent_event_id, s.evidence from new n join said s on s.id = n.consent_event_id where s.evidence is not null
    )
    select count(*) into news from new;
    if news = 0 then
        return 0;
    end if;
    return crm.settle_consents(put_consents.member);
end
$$;

-- Tiers.

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

-- Members.

-- They are put together from many channels: what a command leaves out stays as it is. An older command than the stored one changes
-- neither the member nor its personal data; its identities are still added, and its consents go by times of their own. A tier that differs
-- from the stored one is said from outside, and holds until it is given back.
create or replace function crm.put_members(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    home uuid;
    taken int;
    old crm.member;
    stored crm.member;
    older boolean;
    said boolean;
    news bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text, status text, first_name text, last_name text,
            birth_date date, tier_code text, enrolled_at timestamptz, enrol_channel text, home_store_code text, locale text,
            timezone text, country_code text, attributes jsonb, source_updated_at timestamptz, account_id uuid, tokens jsonb,
            granted jsonb, now timestamptz)
    loop
        home := null;
        if item.home_store_code is not null then
            select store_id into home from crm.store where store_code = item.home_store_code;
            if home is null then
                answers := answers || crm.fault(item.i, 'unknown_store', '/home_store_code', 'there is no store with this code; put the store first');
                continue;
            end if;
        end if;
        select * into old from crm.member m where m.member_no = item.member_no for no key update;
        if old.status in ('merged', 'erased') then
            answers := answers || crm.fault(item.i, 'member_closed', '/member_no', 'this member is ' || old.status || ' and takes no updates');
            continue;
        end if;
        select min(t.n) into taken
        from jsonb_to_recordset(item.tokens) as t (n int, kind text, token text, strength text)
        join crm.member_identity o on (o.kind, o.token) = (t.kind, t.token) and o.strength = 'strong'
        where o.member_id is distinct from old.member_id and t.strength is distinct from 'weak';
        if taken is not null then
            answers := answers || crm.fault(item.i, 'identity_taken', '/identities/' || taken, 'another member holds this identity');
            continue;
        end if;
        older := coalesce(item.source_updated_at < old.source_updated_at, false);
        said := item.tier_code is not null and item.tier_code is distinct from old.tier_code;
        insert into crm.member as t (member_id, member_no, status, tier_code, tier_manual, tier_valid_to, enrolled_at, enrol_channel,
            home_store_id, locale, timezone, country_code, attributes, source_updated_at)
        values (item.id, item.member_no, coalesce(item.status, old.status, 'active'), coalesce(item.tier_code, old.tier_code),
            coalesce(said or old.tier_manual, said), case when not said then old.tier_valid_to end,
            coalesce(item.enrolled_at, old.enrolled_at, item.now), coalesce(item.enrol_channel, old.enrol_channel),
            coalesce(home, old.home_store_id), coalesce(item.locale, old.locale), coalesce(item.timezone, old.timezone),
            coalesce(item.country_code, old.country_code), coalesce(item.attributes, old.attributes, '{}'),
            coalesce(item.source_updated_at, old.source_updated_at))
        on conflict (member_no) do update set status = excluded.status, tier_code = excluded.tier_code,
            tier_manual = excluded.tier_manual, tier_valid_to = excluded.tier_valid_to,
            enrolled_at = excluded.enrolled_at, enrol_channel = excluded.enrol_channel, home_store_id = excluded.home_store_id,
            locale = excluded.locale, timezone = excluded.timezone, country_code = excluded.country_code,
            attributes = excluded.attributes, source_updated_at = excluded.source_updated_at,
            row_version = t.row_version + 1, updated_at = now()
        where not older and (t.status, t.tier_code, t.enrolled_at, t.enrol_channel, t.home_store_id, t.locale, t.timezone, t.country_code,
                t.attributes, t.source_updated_at) is distinct from
            (excluded.status, excluded.tier_code, excluded.enrolled_at, excluded.enrol_channel, excluded.home_store_id,
                excluded.locale, excluded.timezone, excluded.country_code, excluded.attributes, excluded.source_updated_at)
        returning * into stored;
        if old.member_id is null and (stored.member_id is null or stored.row_version > 1) then
            -- Somebody made the member between the look and the write, and what is kept must be looked at first.
            raise exception 'made at the same time' using errcode = 'unique_violation';
        end if;
        if old.member_id is null then
            insert into crm.points_account (account_id, kind, member_id) values (item.account_id, 'member', stored.member_id);
        end if;
        if said and stored.member_id is not null then
            perform crm.tier_changed(stored.member_id, old.tier_code, stored.tier_code, 'manual');
        end if;
        news := crm.add_identities(coalesce(stored.member_id, old.member_id), item.tokens)
            + crm.put_consents(coalesce(stored.member_id, old.member_id), item.granted);
        if not older then
            news := news
                + crm.put_pii(coalesce(stored.member_id, old.member_id), item.first_name, item.last_name, item.birth_date);
        end if;
        answers := answers || crm.answer(item.i, item.c, 'member', coalesce(stored.member_id, old.member_id),
            case when old.member_id is null then 'created' when stored.member_id is not null or news > 0 then 'updated'
                else 'unchanged' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;

-- Memberships of programmes that others run.

create table crm.external_membership (
    external_membership_id uuid primary key,
    member_id uuid not null references crm.member,
    program text not null check (length(program) between 1 and 64),
    external_no text not null check (length(external_no) between 1 and 128),
    level text,
    points bigint,
    status text not null default 'active' check (status in ('active', 'suspended', 'left')),
    joined_at timestamptz,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (program, external_no)
);
create index on crm.external_membership (member_id);
-- Rows change hands when members are merged, and go when they are erased.
alter table crm.external_membership replica identity full;
comment on table crm.external_membership is 'Memberships of programmes that others run, such as a partner''s: a copy of what they say.';
comment on column crm.external_membership.external_membership_id is 'Key.';
comment on column crm.external_membership.member_id is 'The member.';
comment on column crm.external_membership.program is 'The programme; with external_no it identifies the membership.';
comment on column crm.external_membership.external_no is 'Number of the member there.';
comment on column crm.external_membership.level is 'Level or tier there; null where they have none.';
comment on column crm.external_membership.points is 'Balance there in their points, as they last said; null where they did not.';
comment on column crm.external_membership.status is 'active, suspended or left.';
comment on column crm.external_membership.joined_at is 'When the member joined there.';
comment on column crm.external_membership.source_updated_at is 'When they changed it; an older update changes nothing.';
comment on column crm.external_membership.row_version is 'Number of the version of this row.';
comment on column crm.external_membership.created_at is 'When it was made.';
comment on column crm.external_membership.updated_at is 'When it last changed.';

create function crm.do_external_membership(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    owner crm.member;
    stored crm.external_membership;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (program text, external_no text, member_no text, level text, points bigint,
            status text, joined_at timestamptz, source_updated_at timestamptz)
    loop
        select * into owner from crm.member m
        where m.member_id = crm.owner_of((select n.member_id from crm.member n where n.member_no = item.member_no)) for no key update;
        if owner.member_id is null then
            answers := answers || crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number; put the member first');
            continue;
        elsif owner.status = 'erased' then
            answers := answers || crm.fault(item.i, 'member_closed', '/member_no', 'this member is erased and takes no updates');
            continue;
        end if;
        stored := null;
        insert into crm.external_membership as t (external_membership_id, member_id, program, external_no, level, points, status,
            joined_at, source_updated_at)
        values (item.id, owner.member_id, item.program, item.external_no, item.level, item.points, coalesce(item.status, 'active'),
            item.joined_at, item.source_updated_at)
        on conflict (program, external_no) do update set level = excluded.level, points = excluded.points, status = excluded.status,
            joined_at = excluded.joined_at, source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where t.member_id = excluded.member_id and (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.level, t.points, t.status, t.joined_at, t.source_updated_at) is distinct from (excluded.level, excluded.points,
                excluded.status, excluded.joined_at, coalesce(excluded.source_updated_at, t.source_updated_at))
        returning * into stored;
        if stored.external_membership_id is not null then
            answers := answers || crm.answer(item.i, item.c, 'external_membership', stored.external_membership_id,
                case stored.row_version when 1 then 'created' else 'updated' end, stored.row_version);
            continue;
        end if;
        select * into stored from crm.external_membership t where (t.program, t.external_no) = (item.program, item.external_no);
        answers := answers || case when stored.member_id = owner.member_id
            then crm.answer(item.i, item.c, 'external_membership', stored.external_membership_id, 'unchanged', stored.row_version)
            else crm.fault(item.i, 'membership_taken', '/external_no', 'another member holds this membership; merge the two, if they are one') end;
    end loop;
    return answers;
end
$$;

-- What belongs to members, table by table: what changes hands in a merge, what is emptied when a member is erased, what an export holds.
-- Every table with a column `member_id` has its row here.

create table crm.owned_relation (
    relation text primary key,
    key_column text not null,
    moves boolean not null,
    parent text,
    parent_column text,
    place int not null,
    erases text[] not null default '{}',
    exported boolean not null default true,
    check ((parent is null) = (parent_column is null)),
    check (erases = '{}' or moves)
);
comment on table crm.owned_relation is 'The tables whose rows belong to members, and what becomes of the rows when members are merged or erased.';
comment on column crm.owned_relation.relation is 'The table, in the schema crm.';
comment on column crm.owned_relation.key_column is 'Column (uuid) that a row is known by, or that rows of one thing share.';
comment on column crm.owned_relation.moves is 'Whether its rows change hands by their own member_id; there is an index on that then.';
comment on column crm.owned_relation.parent is 'The table whose rows they follow, also those that came after a merge; null where they follow none.';
comment on column crm.owned_relation.parent_column is 'Column of both tables by which they follow; there is an index on it.';
comment on column crm.owned_relation.place is 'Parents come before what follows them.';
comment on column crm.owned_relation.erases is 'Columns that may hold personal data, emptied when the member is erased; of tables whose rows move.';
comment on column crm.owned_relation.exported is 'Whether an export shows the rows by themselves; what has a parent stands below it.';

insert into crm.owned_relation (relation, key_column, moves, parent, parent_column, place, erases, exported) values
    ('member_pii', 'member_id', false, null, null, 1, '{}', false),
    ('member_identity', 'identity_id', true, null, null, 1, '{}', false),
    ('external_membership', 'external_membership_id', true, null, null, 1, '{}', true),
    ('consent', 'consent_id', false, null, null, 1, '{}', true),
    ('consent_event', 'consent_event_id', false, null, null, 1, '{}', true),
    ('member_tier', 'member_tier_id', false, null, null, 1, '{}', true),
    ('sales_order', 'order_id', true, null, null, 1, '{contact,anonymous_id}', true),
    ('order_line', 'order_line_id', false, 'sales_order', 'order_id', 2, '{}', false),
    ('payment', 'payment_id', false, 'sales_order', 'order_id', 2, '{}', false),
    ('order_event', 'event_id', false, null, null, 2, '{}', false),
    ('sales_return', 'return_id', true, 'sales_order', 'order_id', 2, '{reason}', true),
    ('return_line', 'return_line_id', false, 'sales_return', 'return_id', 3, '{}', false),
    ('refund', 'refund_id', false, 'sales_return', 'return_id', 3, '{}', false),
    ('recommendation', 'recommendation_id', true, null, null, 1, '{}', true),
    ('guardrail_verdict', 'recommendation_id', false, 'recommendation', 'recommendation_id', 2, '{}', false),
    ('action', 'action_id', true, null, null, 1, '{}', true),
    ('delivery', 'delivery_id', false, 'action', 'action_id', 2, '{}', false),
    ('outcome', 'outcome_id', false, 'action', 'action_id', 2, '{}', false),
    ('points_account', 'account_id', false, null, null, 1, '{}', true),
    ('points_ledger', 'entry_id', false, null, null, 1, '{}', true),
    ('points_lot', 'lot_id', false, null, null, 1, '{}', true),
    ('points_lot_use', 'lot_id', false, null, null, 1, '{}', false),
    ('points_reservation', 'reservation_id', false, null, null, 1, '{}', true),
    ('points_merge', 'merge_id', false, null, null, 1, '{}', false),
    ('coupon', 'coupon_id', false, null, null, 1, '{}', true),
    ('coupon_redemption', 'redemption_id', false, null, null, 1, '{}', true),
    ('coupon_event', 'coupon_id', false, null, null, 1, '{}', false),
    ('shipment', 'shipment_id', true, 'sales_order', 'order_id', 2, '{tracking_no}', true),
    ('shipment_line', 'shipment_id', false, 'shipment', 'shipment_id', 3, '{}', false),
    ('shipment_event', 'shipment_event_id', false, 'shipment', 'shipment_id', 3, '{}', false),
    ('ticket', 'ticket_id', true, 'sales_order', 'order_id', 2, '{contact}', true),
    ('ticket_event', 'ticket_event_id', false, 'ticket', 'ticket_id', 3, '{}', false),
    ('subscription', 'subscription_id', true, null, null, 1, '{}', true),
    ('approval', 'approval_id', false, null, null, 1, '{}', false);

-- Merge and un-merge.

create table crm.member_merge (
    merge_id uuid primary key,
    from_member_id uuid not null references crm.member,
    into_member_id uuid not null references crm.member,
    from_status text not null check (from_status in ('active', 'suspended', 'closed')),
    merged_at timestamptz not null default now(),
    merged_by text not null,
    undone_at timestamptz,
    undone_by text,
    check (from_member_id <> into_member_id),
    check ((undone_at is null) = (undone_by is null)),
    check (undone_at >= merged_at)
);
create unique index member_merge_open on crm.member_merge (from_member_id) where undone_at is null;
create index on crm.member_merge (into_member_id);
comment on table crm.member_merge is 'Merges of members, and whether they were undone.';
comment on column crm.member_merge.merge_id is 'Key, ordered by time.';
comment on column crm.member_merge.from_member_id is 'The member that was merged.';
comment on column crm.member_merge.into_member_id is 'The member that it was merged into: the one asked for, not the end of the chain.';
comment on column crm.member_merge.from_status is 'Status that the merged one had, and has again when it is undone.';
comment on column crm.member_merge.merged_at is 'When it was done.';
comment on column crm.member_merge.merged_by is 'Who asked for it.';
comment on column crm.member_merge.undone_at is 'When it was undone; null is not.';
comment on column crm.member_merge.undone_by is 'Who asked for that.';

create table crm.member_merge_item (
    merge_id uuid not null references crm.member_merge,
    relation text not null,
    record_id uuid not null,
    primary key (merge_id, relation, record_id)
);
comment on table crm.member_merge_item is 'What changed hands in a merge, so that it comes back when that is undone. Points and coupons have lists of their own.';
comment on column crm.member_merge_item.merge_id is 'The merge.';
comment on column crm.member_merge_item.relation is 'Table of the record.';
comment on column crm.member_merge_item.record_id is 'Key of the record.';

-- What an update of a row of a table sets beside its owner.
create function crm.touches(relation text) returns text
language plpgsql stable as $$
begin
    return (
        select coalesce(string_agg(case a.attname when 'row_version' then ', row_version = t.row_version + 1' else ', updated_at = now()' end, ''), '')
        from pg_attribute a
        where a.attrelid = to_regclass('crm.' || relation) and a.attname in ('row_version', 'updated_at') and not a.attisdropped);
end
$$;

-- Moves what belongs to one member to another, table by table. `back` is the way of an un-merge: of what changed hands in the merge, all
-- that is still there, with all that came to it since. What moves is noted, for it and for what follows it.
create function crm.move_owned(merge uuid, former uuid, owner uuid, back boolean) returns void
language plpgsql as $$
declare
    r crm.owned_relation;
begin
    for r in
        select * from crm.owned_relation o
        where (o.moves or o.parent is not null) and to_regclass('crm.' || o.relation) is not null order by o.place, o.relation
    loop
        if r.moves then
            -- In one order in every transaction.
            execute format('with mine as materialized (select t.%1$I from crm.%2$I t where t.member_id = $2 and (not $4 or exists (
                    select from crm.member_merge_item i where (i.merge_id, i.relation, i.record_id) = ($1, %2$L, t.%1$I)))
                order by t.%1$I for no key update),
                moved as (update crm.%2$I t set member_id = $3%3$s from mine m where t.%1$I = m.%1$I returning t.%1$I)
                insert into crm.member_merge_item (merge_id, relation, record_id) select $1, %2$L, m.%1$I from moved m
                on conflict do nothing', r.key_column, r.relation, crm.touches(r.relation))
            using merge, former, owner, back;
        end if;
        if r.parent is not null then
            execute format('with moved as (update crm.%2$I t set member_id = $3%3$s
                from crm.member_merge_item i join crm.%4$I p on p.%5$I = i.record_id
                where (i.merge_id, i.relation) = ($1, %4$L) and p.member_id = $3 and t.%5$I = p.%5$I and t.member_id = $2
                returning t.%1$I)
                insert into crm.member_merge_item (merge_id, relation, record_id) select distinct $1, %2$L, m.%1$I from moved m
                where exists (select from crm.owned_relation c where c.parent = %2$L) on conflict do nothing',
                r.key_column, r.relation, crm.touches(r.relation), r.parent, r.parent_column)
            using merge, former, owner;
        end if;
    end loop;
end
$$;

-- What a merge moved, by table.
create function crm.merge_told(merge uuid) returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_object('merge_id', g.merge_id, 'from_member_id', g.from_member_id, 'into_member_id', g.into_member_id,
            'moved', (select coalesce(jsonb_object_agg(n.relation, n.n), '{}') from (
                select i.relation, count(*) as n from crm.member_merge_item i where i.merge_id = g.merge_id group by 1) n))
        from crm.member_merge g where g.merge_id = merge_told.merge);
end
$$;

-- Merges one member into another; both are free to be merged. Gives the answer.
create function crm.merge_member(i int, c jsonb, merge uuid, gone crm.member, kept crm.member) returns jsonb
language plpgsql as $$
declare
    chain uuid[];
begin
    perform from crm.sales_order o where o.member_id = gone.member_id order by o.source, o.order_no for no key update;
    insert into crm.member_merge (merge_id, from_member_id, into_member_id, from_status, merged_by)
    values (merge, gone.member_id, kept.member_id, gone.status, coalesce(c ->> 'actor', ''));
    perform crm.move_coupons(gone.member_id, kept.member_id, merge);
    perform crm.lock_points(array[gone.member_id, kept.member_id]);
    chain := crm.persons_of(gone.member_id);
    perform crm.lock_members(chain || kept.member_id);
    if exists (
        select from (values (gone.member_id, gone.status), (kept.member_id, kept.status)) w (member_id, status)
        join crm.member m on m.member_id = w.member_id where m.status <> w.status)
    then
        raise exception 'a member was changed meanwhile' using errcode = 'unique_violation';
    end if;
    perform crm.move_owned(merge, gone.member_id, kept.member_id, false);
    -- Chains stay flat: whoever was merged into this one is of the other now.
    insert into crm.member_merge_item (merge_id, relation, record_id)
    select merge, 'member', m.member_id from crm.member m where m.merged_into_member_id = gone.member_id;
    update crm.member m set status = 'merged', merged_into_member_id = kept.member_id, row_version = m.row_version + 1, updated_at = now()
    where m.member_id = any (chain);
    perform crm.move_points(gone.member_id, kept.member_id, merge);
    perform crm.settle_consents(kept.member_id);
    perform crm.place_tiers(array[kept.member_id]);
    perform crm.audit_member(c, 'merged', gone.member_id);
    perform crm.audit_member(c, 'merged_into', kept.member_id);
    return crm.acted(i, c, 'member_merge', merge, 'created', 1, crm.merge_told(merge));
end
$$;

create function crm.do_member_merge(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    gone crm.member;
    kept crm.member;
    known uuid;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (from_member_no text, into_member_no text)
    loop
        select * into gone from crm.member m where m.member_no = item.from_member_no;
        select * into kept from crm.member m where m.member_no = item.into_member_no;
        select g.merge_id into known from crm.member_merge g
        where (g.from_member_id, g.into_member_id) = (gone.member_id, kept.member_id) and g.undone_at is null;
        answers := answers || case
            when gone.member_id is null then crm.fault(item.i, 'unknown_member', '/from_member_no', 'there is no member with this number')
            when kept.member_id is null then crm.fault(item.i, 'unknown_member', '/into_member_no', 'there is no member with this number')
            when known is not null and gone.status = 'merged' then
                crm.acted(item.i, item.c, 'member_merge', known, 'unchanged', 1, crm.merge_told(known))
            when gone.status in ('merged', 'erased') then
                crm.fault(item.i, 'member_closed', '/from_member_no', 'this member is ' || gone.status)
            when kept.status in ('merged', 'erased') then
                crm.fault(item.i, 'member_closed', '/into_member_no', 'this member is ' || kept.status)
            else crm.merge_member(item.i, item.c, item.id, gone, kept) end;
    end loop;
    return answers;
end
$$;

-- Undoes a merge; both members stand as the merge left them. Gives the answer.
create function crm.unmerge_member(i int, c jsonb, g crm.member_merge) returns jsonb
language plpgsql as $$
declare
    orders uuid[];
    chain uuid[];
begin
    select array_agg(o.order_id) into orders from (
        select o.order_id from crm.member_merge_item t join crm.sales_order o on o.order_id = t.record_id
        where (t.merge_id, t.relation) = (g.merge_id, 'sales_order') and o.member_id = g.into_member_id
        order by o.source, o.order_no for no key update of o) o;
    perform crm.unmove_coupons(g.merge_id);
    perform crm.lock_points(array[g.from_member_id, g.into_member_id]);
    chain := array(
        select m.member_id from crm.member_merge_item t join crm.member m on m.member_id = t.record_id
        where (t.merge_id, t.relation) = (g.merge_id, 'member') and m.merged_into_member_id = g.into_member_id);
    perform crm.lock_members(chain || array[g.from_member_id, g.into_member_id]);
    update crm.member_merge m set undone_at = clock_timestamp(), undone_by = coalesce(c ->> 'actor', '')
    where m.merge_id = g.merge_id and m.undone_at is null
        and exists (select from crm.member k where k.member_id = g.into_member_id and k.status not in ('merged', 'erased'));
    if not found then
        raise exception 'a member was changed meanwhile' using errcode = 'unique_violation';
    end if;
    perform crm.move_owned(g.merge_id, g.into_member_id, g.from_member_id, true);
    update crm.member m set status = case when m.member_id = g.from_member_id then g.from_status else m.status end,
        merged_into_member_id = case when m.member_id <> g.from_member_id then g.from_member_id end,
        row_version = m.row_version + 1, updated_at = now()
    where m.member_id = any (chain || g.from_member_id);
    perform crm.unmove_points(g.merge_id);
    if orders is not null then
        perform crm.post_points(orders);
    end if;
    perform crm.settle_consents(g.from_member_id), crm.settle_consents(g.into_member_id);
    if exists (select from crm.tier_definition d where d.active) then
        perform crm.place_each(array[g.from_member_id], now(), false), crm.place_each(array[g.into_member_id], now(), true);
    end if;
    perform crm.audit_member(c, 'unmerged', g.from_member_id);
    perform crm.audit_member(c, 'unmerged_from', g.into_member_id);
    return crm.acted(i, c, 'member_merge', g.merge_id, 'updated', 2, crm.merge_told(g.merge_id));
end
$$;

create function crm.do_member_unmerge(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    gone crm.member;
    open crm.member_merge;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text)
    loop
        select * into gone from crm.member m where m.member_no = item.member_no;
        select * into open from crm.member_merge g where g.from_member_id = gone.member_id and g.undone_at is null;
        answers := answers || case
            when gone.member_id is null then crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number')
            when gone.status = 'erased' then crm.fault(item.i, 'member_closed', '/member_no', 'this member is erased')
            when gone.status <> 'merged' or open.merge_id is null then
                crm.fault(item.i, 'not_merged', '/member_no', 'this member is not merged')
            when gone.merged_into_member_id <> open.into_member_id then
                crm.fault(item.i, 'merged_since', '/member_no', 'the member that this one was merged into is merged itself; undo that first')
            else crm.unmerge_member(item.i, item.c, open) end;
    end loop;
    return answers;
end
$$;

-- Sees to it that orders just written belong to whom they should: an order whose owner was merged while it was being written is
-- tried again, and one of an erased member keeps nothing personal. The points accounts of the owners are locked.
create function crm.follow_owners(orders uuid[]) returns void
language plpgsql as $$
declare
    status text;
begin
    for status in
        select distinct m.status from crm.sales_order o join crm.member m on m.member_id = o.member_id
        where o.order_id = any (orders) and m.status in ('merged', 'erased')
    loop
        if status = 'merged' then
            raise exception 'the owner was merged meanwhile' using errcode = 'unique_violation';
        end if;
        update crm.sales_order o set contact = null, anonymous_id = null
        from crm.member m
        where o.order_id = any (orders) and m.member_id = o.member_id and m.status = 'erased'
            and coalesce(o.contact, o.anonymous_id) is not null;
    end loop;
end
$$;

-- Erasure: what is personal goes, of the member and of all that were merged into it; ledgers, orders and decisions stay under an id that
-- leads to nobody.

create function crm.erase_owned(members uuid[]) returns void
language plpgsql as $$
declare
    r crm.owned_relation;
    sets text;
    filled text;
begin
    for r in select * from crm.owned_relation o where o.erases <> '{}' and to_regclass('crm.' || o.relation) is not null order by o.relation loop
        select string_agg(format('%I = %L', a.attname, case when a.attnotnull then '' end), ', '),
            string_agg(format('t.%I is distinct from %L', a.attname, case when a.attnotnull then '' end), ' or ')
        into sets, filled
        from pg_attribute a where a.attrelid = to_regclass('crm.' || r.relation) and a.attname = any (r.erases) and not a.attisdropped;
        continue when sets is null;
        execute format('update crm.%I t set %s%s where t.member_id = any ($1) and (%s)', r.relation, sets, crm.touches(r.relation), filled)
        using members;
    end loop;
end
$$;

create function crm.erase_member(c jsonb, erased crm.member) returns bigint
language plpgsql as $$
declare
    persons uuid[];
    person uuid;
    version bigint;
begin
    perform from crm.sales_order o where o.member_id = erased.member_id order by o.source, o.order_no for no key update;
    perform crm.lock_points(array[erased.member_id]);
    persons := crm.persons_of(erased.member_id);
    perform crm.lock_members(persons);
    if not exists (select from crm.member m where m.member_id = erased.member_id and m.status = erased.status) then
        raise exception 'a member was changed meanwhile' using errcode = 'unique_violation';
    end if;
    perform crm.erase_owned(persons);
    delete from crm.member_pii p where p.member_id = any (persons);
    delete from crm.member_identity o where o.member_id = any (persons);
    delete from crm.external_membership e where e.member_id = any (persons);
    delete from crm.consent_evidence e using crm.consent_event v
    where v.consent_event_id = e.consent_event_id and v.member_id = any (persons);
    -- Nothing is granted any more, and what was on its way to the person stops.
    insert into crm.consent_event (consent_event_id, member_id, purpose, channel, status, source, status_at)
    select crm.uuid7(), o.member_id, o.purpose, o.channel, 'revoked', 'erasure', greatest(o.status_at, now())
    from crm.consent o where o.member_id = any (persons) and o.status = 'granted'
    on conflict do nothing;
    with stopped as (
        update crm.action a set status = 'failed', updated_at = now()
        where a.member_id = any (persons) and a.status = 'pending' returning a.recommendation_id)
    update crm.recommendation r set status = 'retracted', updated_at = now() from stopped s where r.recommendation_id = s.recommendation_id;
    foreach person in array persons loop
        perform crm.settle_consents(person);
        perform crm.audit_member(c, 'erased', person);
    end loop;
    update crm.member m set status = 'erased', erased_at = now(), merged_into_member_id = null, attributes = '{}', locale = null,
        timezone = null, row_version = m.row_version + 1, updated_at = now()
    where m.member_id = any (persons);
    select m.row_version into version from crm.member m where m.member_id = erased.member_id;
    return version;
end
$$;

create function crm.do_member_erase(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.member;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text)
    loop
        select * into old from crm.member m where m.member_no = item.member_no;
        answers := answers || case
            when old.member_id is null then crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number')
            when old.status = 'erased' then crm.answer(item.i, item.c, 'member', old.member_id, 'unchanged', old.row_version)
            when old.status = 'merged' then
                crm.fault(item.i, 'member_closed', '/member_no', 'this member is merged; erase the one that it was merged into')
            else crm.answer(item.i, item.c, 'member', old.member_id, 'updated', crm.erase_member(item.c, old)) end;
    end loop;
    return answers;
end
$$;

-- Look-up at the till: whom identities lead to. One strong match is the answer; weak ones, and strong ones that lead to several members,
-- are candidates, and decide nothing.

create function crm.member_card(member uuid) returns jsonb
language plpgsql stable as $$
begin
    return (
        select jsonb_build_object('member_id', m.member_id, 'member_no', m.member_no, 'status', m.status, 'tier_code', m.tier_code,
            'tier_valid_to', m.tier_valid_to,
            'points', (select a.balance from crm.points_account a where a.member_id = m.member_id and a.kind = 'member'),
            'coupons', (select count(*) from crm.coupon k
                where k.member_id = m.member_id and k.status = 'issued' and (k.expires_at > now()) is not false))
            || case when current_setting('storewide.pii', true) = 'on' then coalesce((
                select jsonb_build_object('first_name', p.first_name, 'last_name', p.last_name) from crm.member_pii p
                where p.member_id = m.member_id), '{}') else '{}' end
        from crm.member m where m.member_id = member_card.member);
end
$$;

create function crm.lookup_member(tokens jsonb) returns jsonb
language plpgsql stable
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    strong uuid[];
    weak uuid[];
begin
    select array_agg(distinct o.member_id) into strong
    from jsonb_to_recordset(tokens) as t (kind text, token text)
    join crm.member_identity o on (o.kind, o.token) = (t.kind, t.token) and o.strength = 'strong';
    if cardinality(strong) = 1 then
        return jsonb_build_object('member', crm.member_card(strong[1]), 'candidates', '[]'::jsonb);
    end if;
    select array_agg(distinct w.member_id) into weak
    from jsonb_to_recordset(tokens) as t (kind text, token text)
    cross join lateral (
        select o.member_id from crm.member_identity o
        where (o.kind, o.token) = (t.kind, t.token) and o.strength = 'weak' limit 10) w
    where w.member_id <> all (coalesce(strong, '{}'));
    return jsonb_build_object('member', null, 'candidates', (
        select coalesce(jsonb_agg(jsonb_build_object('strength', w.strength, 'member', crm.member_card(w.member))), '[]')
        from (
            select 'strong' as strength, s.member from unnest(strong) s (member)
            union all
            select 'weak', s.member from unnest(weak[:10]) s (member)) w));
end
$$;

-- Export: all that is held about a member.

-- Rows of one table that belong to members, by key, with what follows them below each; `next` is where the next page starts.
create function crm.export_section(section text, members uuid[], after uuid, most int) returns jsonb
language plpgsql stable as $$
declare
    r crm.owned_relation;
    below text;
    result jsonb;
begin
    select * into strict r from crm.owned_relation o where o.relation = section;
    if to_regclass('crm.' || r.relation) is null then
        return jsonb_build_object('rows', '[]'::jsonb, 'next', null);
    end if;
    select string_agg(format(' || jsonb_build_object(%1$L, (select coalesce(jsonb_agg(to_jsonb(c) order by c.%2$I), ''[]'')
        from crm.%1$I c where c.%3$I = t.%3$I))', c.relation, c.key_column, c.parent_column), '')
    into below
    from crm.owned_relation c where c.parent = r.relation and not c.exported and to_regclass('crm.' || c.relation) is not null;
    execute format('with page as (select t.* from crm.%2$I t where t.member_id = any ($1) and ($2 is null or t.%1$I > $2)
            order by t.%1$I fetch first $3 rows with ties),
        told as (select t.%1$I as key, to_jsonb(t)%3$s as told from page t)
        select jsonb_build_object(''rows'', coalesce(jsonb_agg(told order by key), ''[]''),
            ''next'', case when count(*) >= $3 then (array_agg(key order by key desc))[1] end) from told',
        r.key_column, r.relation, coalesce(below, ''))
    using members, after, most into result;
    return result;
end
$$;

-- The whole, with the first rows of each section; null where there is no such member.
create function crm.export_member(member uuid, most int) returns jsonb
language plpgsql stable as $$
declare
    persons uuid[] := crm.persons_of(member);
begin
    return (
        select jsonb_build_object('member', to_jsonb(m), 'exported_at', now(),
            'merged', (select coalesce(jsonb_agg(to_jsonb(o) order by o.member_no), '[]') from crm.member o where o.merged_into_member_id = m.member_id),
            'merges', (select coalesce(jsonb_agg(to_jsonb(g) order by g.merge_id), '[]') from crm.member_merge g
                where g.into_member_id = any (persons) or g.from_member_id = any (persons)),
            'personal', (select coalesce(jsonb_agg(to_jsonb(p)), '[]') from crm.member_pii p where p.member_id = any (persons)),
            'identities', (select coalesce(jsonb_agg(to_jsonb(i) || jsonb_build_object('value', v.value) order by i.identity_id), '[]')
                from crm.member_identity i left join crm.member_identity_value v using (identity_id) where i.member_id = any (persons)),
            'evidence', (select coalesce(jsonb_agg(to_jsonb(e) order by e.consent_event_id), '[]')
                from crm.consent_evidence e join crm.consent_event c using (consent_event_id) where c.member_id = any (persons)),
            'audit', (select coalesce(jsonb_agg(to_jsonb(l) order by l.audit_id desc), '[]') from (
                select * from crm.audit_log l where l.entity = 'member' and l.entity_id = any (select p::text from unnest(persons) p)
                order by l.audit_id desc limit most) l),
            'sections', (select jsonb_object_agg(o.relation, crm.export_section(o.relation, persons, null, most))
                from crm.owned_relation o where o.exported and to_regclass('crm.' || o.relation) is not null))
        from crm.member m where m.member_id = export_member.member);
end
$$;
