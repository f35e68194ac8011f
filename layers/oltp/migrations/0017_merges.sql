-- What belongs to members, and what becomes of it: merge and un-merge, erasure, export.

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
    check (erases = '{}' or moves or parent is not null)
);
comment on table crm.owned_relation is 'The tables whose rows belong to members, and what becomes of the rows when members are merged or erased.';
comment on column crm.owned_relation.relation is 'The table, in the schema crm.';
comment on column crm.owned_relation.key_column is 'Column (uuid) that a row is known by, or that rows of one thing share.';
comment on column crm.owned_relation.moves is 'Whether its rows change hands by their own member_id; there is an index on that then.';
comment on column crm.owned_relation.parent is 'The table whose rows they follow, also those that came after a merge; null where they follow none.';
comment on column crm.owned_relation.parent_column is 'Column of both tables by which they follow; there is an index on it.';
comment on column crm.owned_relation.place is 'Parents come before what follows them.';
comment on column crm.owned_relation.erases is 'Columns that may hold personal data, emptied when the member is erased.';
comment on column crm.owned_relation.exported is 'Whether an export shows the rows by themselves, page by page; what has a parent stands below it.';

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
    ('return_line', 'return_line_id', false, 'sales_return', 'return_id', 3, '{reason}', false),
    ('refund', 'refund_id', false, 'sales_return', 'return_id', 3, '{}', false),
    ('recommendation', 'recommendation_id', true, null, null, 1, '{}', true),
    ('guardrail_verdict', 'recommendation_id', false, 'recommendation', 'recommendation_id', 2, '{}', false),
    ('action', 'action_id', true, null, null, 1, '{}', true),
    ('delivery', 'delivery_id', false, 'action', 'action_id', 2, '{}', false),
    ('outcome', 'outcome_id', false, 'action', 'action_id', 2, '{}', false),
    ('points_account', 'account_id', false, null, null, 1, '{}', true),
    ('points_ledger', 'entry_id', false, null, null, 1, '{}', true),
    ('points_lot', 'lot_id', false, null, null, 1, '{}', false),
    ('points_lot_use', 'lot_id', false, null, null, 1, '{}', false),
    ('points_reservation', 'reservation_id', false, null, null, 1, '{}', false),
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
        raise exception 'a member was changed meanwhile' using errcode = 'serialization_failure';
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
    -- Also those that are somebody else's by now: their points may have been posted on either of the two.
    select array_agg(o.order_id) into orders from (
        select o.order_id from crm.member_merge_item t join crm.sales_order o on o.order_id = t.record_id
        where (t.merge_id, t.relation) = (g.merge_id, 'sales_order')
        order by o.source, o.order_no for no key update of o) o;
    perform crm.unmove_coupons(g.merge_id);
    -- With the accounts of whoever had the orders before, all at once, and so in order.
    perform crm.lock_points(array[g.from_member_id, g.into_member_id] || array(
        select distinct crm.owner_of(l.member_id) from crm.points_ledger l where l.order_id = any (orders) and l.member_id is not null));
    chain := array(
        select m.member_id from crm.member_merge_item t join crm.member m on m.member_id = t.record_id
        where (t.merge_id, t.relation) = (g.merge_id, 'member') and m.merged_into_member_id = g.into_member_id);
    perform crm.lock_members(chain || array[g.from_member_id, g.into_member_id]);
    update crm.member_merge m set undone_at = clock_timestamp(), undone_by = coalesce(c ->> 'actor', '')
    where m.merge_id = g.merge_id and m.undone_at is null
        and exists (select from crm.member k where k.member_id = g.into_member_id and k.status not in ('merged', 'erased'));
    if not found then
        raise exception 'a member was changed meanwhile' using errcode = 'serialization_failure';
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
            raise exception 'the owner was merged meanwhile' using errcode = 'serialization_failure';
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
        execute format('update crm.%I t set %s%s where %s and (%s)', r.relation, sets, crm.touches(r.relation), case when r.moves
                then 't.member_id = any ($1)'
                else format('t.%1$I = any (array(select p.%1$I from crm.%2$I p where p.member_id = any ($1)))', r.parent_column, r.parent) end,
            filled)
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
        raise exception 'a member was changed meanwhile' using errcode = 'serialization_failure';
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
    update crm.member m set status = 'erased', erased_at = now(), attributes = '{}', locale = null,
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
    execute format('with page as (select t.* from crm.%2$I t where %4$s and ($2 is null or t.%1$I > $2)
            order by t.%1$I fetch first $3 rows with ties),
        told as (select t.%1$I as key, to_jsonb(t)%3$s as told from page t)
        select jsonb_build_object(''rows'', coalesce(jsonb_agg(told order by key), ''[]''),
            ''next'', case when count(*) >= $3 then (array_agg(key order by key desc))[1] end) from told',
        r.key_column, r.relation, coalesce(below, ''), case r.relation
            -- Its index is by account.
            when 'points_ledger' then
                't.member_id is not null and t.account_id = any (array(select a.account_id from crm.points_account a where a.member_id = any ($1)))'
            else 't.member_id = any ($1)' end)
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
