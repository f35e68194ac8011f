-- Members: identities of many kinds, the history of consents, memberships of programmes that others run, and the look-up at the till.
--
-- Locks come in one order everywhere: orders, coupons, points accounts, then rows of `member`. Whoever holds an account never waits for a
-- row of `member`: if another transaction has it, the whole is tried again.

-- The member and where it went.

alter table crm.member
    add column merged_into_member_id uuid references crm.member,
    add column erased_at timestamptz,
    add column tier_manual boolean not null default false,
    add column tier_valid_to timestamptz,
    add constraint member_merged check (case status when 'merged' then merged_into_member_id is not null when 'erased' then true
        else merged_into_member_id is null end),
    add constraint member_erased check ((status = 'erased') = (erased_at is not null)),
    add constraint member_not_itself check (merged_into_member_id <> member_id);
update crm.member set tier_manual = true where tier_code is not null;
create index member_merged_into on crm.member (merged_into_member_id) where merged_into_member_id is not null;
create index member_tier_ends on crm.member (tier_valid_to) where tier_valid_to is not null;

comment on column crm.member.merged_into_member_id is 'The member that this one was merged into, at the end of any chain; set while status is merged, and kept when it is erased: the ledgers of both are one.';
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
