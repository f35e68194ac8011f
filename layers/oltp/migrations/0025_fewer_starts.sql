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

-- As in migration `points`, but that orders which are all new go together: most earn what does not expire, for somebody who owes nothing.
-- Nothing is locked before it is known that they are: locks are taken at once, in one order.
create or replace function crm.post_points(orders uuid[]) returns void
language plpgsql as $$
declare
    owners uuid[];
    new bigint;
    done boolean;
begin
    select array_agg(o.member_id) filter (where o.member_id is not null), count(*) into owners, new
    from crm.sales_order o
    where o.order_id = any (orders) and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid;
    if new = cardinality(orders) then
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
            where o.order_id = any (orders)
        ), plain as materialized (
            select count(*) = cardinality(orders) and bool_and(m.member_id is null or m.points = 0 or (m.plain and m.free)) as yes
            from made m
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
    end if;
    if done is not true then
        perform crm.post_points_again(orders);
    elsif owners is not null then
        perform crm.place_tiers(owners);
    end if;
end
$$;

-- Locks what several uses of codes in one transaction lock, each kind at once and in one order: the orders, the coupons, the buyers where
-- rules count by members. One by one, two transactions could wait for each other.
create function crm.lock_uses(items jsonb) returns void
language plpgsql as $$
declare
    coupons uuid[] := array(
        select s.coupon_id from jsonb_path_query(items, '$[*].b.codes[*].key') k join crm.coupon_code s on s.code_key = k #>> '{}');
begin
    if jsonb_array_length(items) < 2 then
        return;
    end if;
    perform from crm.sales_order o
    join (
        select distinct x.value #>> '{b,order_no}' as order_no, x.value #>> '{b,order_source}' as source
        from jsonb_array_elements(items) x) k on (k.order_no, k.source) = (o.order_no, o.source)
    order by o.source, o.order_no
    for no key update of o;
    perform crm.lock_coupons(coupons, null);
    if not exists (
        select from crm.coupon k join crm.coupon_definition d on d.definition_id = k.definition_id
        where k.coupon_id = any (coupons) and (d.first_order_only or d.per_member_limit is not null)) then
        return;
    end if;
    perform pg_advisory_xact_lock(b.lock) from (
        select distinct crm.coupon_lock(o.member_id) as lock from jsonb_array_elements(items) x
        cross join lateral (
            select coalesce(m.merged_into_member_id, m.member_id) as member_id from crm.member m
            where m.member_no = x.value #>> '{b,member_no}'
            union
            select h.member_id from crm.member_identity h
            where (h.kind, h.token) = (x.value #>> '{b,buyer_kind}', x.value #>> '{b,buyer_token}') and h.strength = 'strong'
            union
            select o.member_id from crm.sales_order o
            where (o.order_no, o.source) = (x.value #>> '{b,order_no}', x.value #>> '{b,order_source}')) o
        where o.member_id is not null order by 1) b;
end
$$;

-- As in migration `coupon_commands`, after all is locked.
create or replace function crm.do_coupon_reserve(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    cart crm.coupon_cart;
    held jsonb;
    until timestamptz;
    answers jsonb := '[]';
begin
    perform crm.lock_uses(items);
    for item in
        select x.i, x.c, x.id, x.b
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
    loop
        until := now() + make_interval(secs => (item.b ->> 'seconds')::int);
        cart := crm.ask_cart(item.i, item.b);
        held := coalesce(cart.fault, crm.hold_coupons(item.i, cart, item.b -> 'codes', '/codes', item.id, until));
        answers := answers || case when held ? 'fault' then held
            else crm.acted(item.i, item.c, 'coupon_reservation', item.id, 'created', 1,
                held || jsonb_build_object('reservation_id', item.id, 'reserved_until', until)) end;
    end loop;
    return answers;
end
$$;

-- As in migration `coupon_commands`, after all is locked.
create or replace function crm.do_coupon_redeem(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    known crm.sales_order;
    cart crm.coupon_cart;
    held jsonb;
    answers jsonb := '[]';
begin
    perform crm.lock_uses(items);
    for item in
        select x.i, x.c, x.id, x.b
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
    loop
        known := crm.lock_cart_order(item.b ->> 'order_source', item.b ->> 'order_no');
        if item.b ? 'lines' then
            cart := crm.ask_cart(item.i, item.b);
            cart.order_id := known.order_id;
            cart.member_id := coalesce(cart.member_id, known.member_id);
        elsif known.order_id is null then
            answers := answers || crm.fault(item.i, 'unknown_order', '/order/order_no', 'there is no order with this source and number; send its cart, or put the order first');
            continue;
        else
            cart := crm.cart_of_order(known);
        end if;
        held := coalesce(cart.fault, crm.hold_coupons(item.i, cart, item.b -> 'codes', '/codes', null, null));
        answers := answers || case when held ? 'fault' then held
            else crm.acted(item.i, item.c, 'coupon_redemption', (held #>> '{codes,0,redemption_id}')::uuid, 'updated', 1, held) end;
    end loop;
    return answers;
end
$$;
