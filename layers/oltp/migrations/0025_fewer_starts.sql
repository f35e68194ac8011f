-- The same answers, sooner. What was measured: a function in SQL that cannot be inlined is planned anew in each transaction; a join
-- may be planned, for ever, from the side of the larger table; and starting a statement costs more than its work for one record.

-- After merges and erasures, see migration `merges`. By a scalar query: a join was planned from the members, all of which it read.
create or replace function crm.follow_owners(orders uuid[]) returns void
language plpgsql as $$
declare
    statuses text[] := array(
        select (select m.status from crm.member m where m.member_id = o.member_id)
        from crm.sales_order o where o.order_id = any (orders) and o.member_id is not null);
begin
    if 'merged' = any (statuses) then
        raise exception 'the owner was merged meanwhile' using errcode = 'serialization_failure';
    end if;
    if 'erased' = any (statuses) then
        update crm.sales_order o set contact = null, anonymous_id = null
        where o.order_id = any (orders) and coalesce(o.contact, o.anonymous_id) is not null
            and (select m.status from crm.member m where m.member_id = o.member_id) = 'erased';
    end if;
end
$$;

-- As in migration `coupons`.
create or replace function crm.coupon_shares(amount bigint, weights bigint[]) returns bigint[]
language plpgsql immutable parallel safe as $$
begin
    return (
        select array_agg((p.whole + case when p.place_by_rest <= amount - p.wholes then 1 else 0 end)::bigint order by p.place)
        from (
            select f.place, f.whole, sum(f.whole) over () as wholes,
                row_number() over (order by f.rest desc, f.place) as place_by_rest
            from (
                select w.place, div(amount::numeric * w.weight, greatest(sum(w.weight) over (), 1)) as whole,
                    mod(amount::numeric * w.weight, greatest(sum(w.weight) over (), 1)) as rest
                from unnest(weights) with ordinality as w (weight, place)) f) p);
end
$$;

-- As in migration `coupons`.
create or replace function crm.coupon_categories(p crm.product) returns text[]
language plpgsql stable parallel safe as $$
begin
    return coalesce((select c.path from crm.category c where c.category_id = p.category_id), '{}') || array[p.category];
end
$$;

-- As in migration `points`, but that the orders of a transaction that are all new go together: most earn what does not expire, for
-- somebody who owes nothing.
create or replace function crm.post_points(orders uuid[]) returns void
language plpgsql as $$
declare
    owners uuid[] := array(
        select o.member_id from crm.sales_order o
        where o.order_id = any (orders) and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid and o.member_id is not null);
    done boolean;
begin
    perform crm.lock_points(owners);
    with made as materialized (
        select o.order_id, o.member_id, p.pending_days = 0 and p.expiry_days is null as plain,
            case when crm.bought(o.status) then div(greatest(o.net_minor, 0)::numeric * p.earn_points,
                p.earn_units * crm.major(o.currency))::bigint else 0 end as points,
            (select a.account_id from crm.points_account a where a.member_id = o.member_id and a.kind = 'member') as account_id,
            coalesce((select a.balance from crm.points_account a where a.member_id = o.member_id and a.kind = 'owed'), 0) = 0
                and (select m.status from crm.member m where m.member_id = o.member_id) <> 'merged' as free
        from crm.sales_order o
        cross join lateral (
            select * from crm.points_program p
            where p.program_code = 'default' and p.valid_from <= least(o.placed_at, o.created_at)
            order by p.valid_from desc limit 1) p
        where o.order_id = any (orders) and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid
    ), plain as materialized (
        select count(*) = cardinality(orders) and bool_and(m.member_id is null or m.points = 0 or (m.plain and m.free)) as yes from made m
    ), ledger as (
        insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
        select e.entry_id, s.side, case s.side when 1 then e.account_id else '00000000-0000-7000-8000-000000000001' end,
            case s.side when 1 then e.member_id end, 'earn', case s.side when 1 then e.points else -e.points end, e.order_id, now()
        from (
            select crm.uuid7() as entry_id, m.* from made m
            where m.member_id is not null and m.points > 0 and (select p.yes from plain p)) e
        cross join (values (1), (2)) s (side)
    )
    select p.yes into done from plain p;
    if done is not true then
        perform crm.post_points_again(orders);
    elsif owners <> '{}' then
        perform crm.place_tiers(owners);
    end if;
end
$$;
