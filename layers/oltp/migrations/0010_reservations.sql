-- Reservations of stock, and the stock that orders and returns move.

-- ---- Reservations -------------------------------------------------------------------------------------------------------
-- Ends the reservations of levels that are over at a moment; gives their number. The levels are locked.
create function crm.expire_reservations(levels uuid[], at timestamptz) returns int
language plpgsql as $$
declare
    result int;
begin
    with over as (
        update crm.inventory_reservation r set status = 'expired', updated_at = now()
        where r.level_id = any (levels) and r.status = 'active' and r.expires_at <= at
        returning r.level_id, r.quantity
    ), level as (
        update crm.inventory_level v set reserved = v.reserved - o.quantity, oversold = greatest(v.reserved - o.quantity - v.on_hand, 0),
            row_version = v.row_version + 1, updated_at = now()
        from (select level_id, sum(quantity) as quantity from over group by 1) o where v.level_id = o.level_id
    )
    select count(*) from over
    into result;
    return result;
end
$$;

-- Ends reservations that are over, of at most so many levels; gives the number that ended. Waits for nobody: a level that is in use
-- is left for the next time.
create function crm.sweep_stock(at timestamptz, most int) returns int
language plpgsql as $$
begin
    return crm.expire_reservations(array(
        select v.level_id from crm.inventory_level v
        where v.level_id = any (array(
            select r.level_id from crm.inventory_reservation r where r.status = 'active' and r.expires_at <= at
            order by r.expires_at limit most))
        order by v.level_id
        for no key update skip locked), at);
end
$$;

-- The first line that the levels, which are locked, cannot cover; what is promised for a time that is over does not count. Null
-- if there is none.
create type crm.stock_gap as (place int, available numeric);
create function crm.uncovered(ask crm.stock_ask) returns crm.stock_gap
language plpgsql as $$
declare
    result crm.stock_gap;
begin
    perform crm.expire_reservations(array(
        select v.level_id from unnest(ask.lines) l join crm.inventory_level v on (v.store_id, v.sku_id) = (ask.store_id, l.sku_id)),
        clock_timestamp());
    select l.place - 1, v.available into result
    from unnest(ask.lines) l
    left join crm.inventory_level v on (v.store_id, v.sku_id) = (ask.store_id, l.sku_id)
    where not ask.lenient and (v.level_id is null or v.available < l.quantity)
    order by l.place limit 1;
    return result;
end
$$;
create function crm.uncovered_fault(i int, place int, available numeric) returns jsonb
language sql immutable parallel safe as $$
    select case when available is null
        then crm.fault(i, 'not_stocked', '/lines/' || place || '/sku_code', 'this SKU has no stock in this store; receive or count it first')
        else crm.fault(i, 'insufficient_stock', '/lines/' || place || '/quantity', trim_scale(greatest(available, 0)) || ' are available') end
$$;

create function crm.do_stock_reserve(items jsonb) returns jsonb
language plpgsql as $$
declare
    ask crm.stock_ask;
    asks crm.stock_ask[] := crm.ask_stock(items, true);
    gap crm.stock_gap;
    until timestamptz;
    answers jsonb := '[]';
begin
    perform crm.lock_levels(array_agg(a.store_id), array_agg(l.sku_id), array_agg(a.lenient))
    from unnest(asks) a cross join lateral unnest(a.lines) l where a.fault is null;
    foreach ask in array asks loop
        if ask.fault is not null then
            answers := answers || ask.fault;
            continue;
        end if;
        gap := crm.uncovered(ask);
        if gap.place is not null then
            answers := answers || crm.uncovered_fault(ask.i, gap.place, gap.available);
            continue;
        end if;
        until := clock_timestamp() + make_interval(secs => (ask.b ->> 'ttl_s')::int);
        with held as (
            insert into crm.inventory_reservation (reservation_id, sku_id, store_id, level_id, quantity, expires_at, order_source, order_no)
            select ask.id, l.sku_id, v.store_id, v.level_id, l.quantity, until, ask.b ->> 'order_source', ask.b ->> 'order_no'
            from unnest(ask.lines) l join crm.inventory_level v on (v.store_id, v.sku_id) = (ask.store_id, l.sku_id)
            returning level_id, quantity
        )
        update crm.inventory_level v set reserved = v.reserved + h.quantity, row_version = v.row_version + 1, updated_at = now(),
            oversold = case when ask.lenient then greatest(v.reserved + h.quantity - v.on_hand, 0) else v.oversold end
        from held h where v.level_id = h.level_id;
        answers := answers || crm.acted(ask.i, ask.c, 'stock_reservation', ask.id, 'created', 1, jsonb_build_object('reservation_id', ask.id,
            'expires_at', until, 'levels', crm.tell_levels(ask.store_id, array(select l.sku_id from unnest(ask.lines) l))));
    end loop;
    return answers;
end
$$;

-- Locks the levels of reservations.
create function crm.lock_reserved(reservations uuid[]) returns void
language plpgsql as $$
begin
    perform from crm.inventory_level v
    where v.level_id = any (array(select r.level_id from crm.inventory_reservation r where r.reservation_id = any (reservations)))
    order by v.level_id
    for no key update;
end
$$;

-- Brings active rows of reservations to a status; gives them. Their levels are locked, and are relieved of them.
create function crm.end_reservations(reservations uuid[], status text) returns setof crm.inventory_reservation
language plpgsql as $$
begin
    return query with ended as (
        update crm.inventory_reservation r set status = end_reservations.status, updated_at = now()
        where r.reservation_id = any (reservations) and r.status = 'active'
        returning r.*
    ), level as (
        update crm.inventory_level v set reserved = v.reserved - e.quantity, oversold = greatest(v.reserved - e.quantity - v.on_hand, 0),
            row_version = v.row_version + 1, updated_at = now()
        from (select level_id, sum(quantity) as quantity from ended group by 1) e where v.level_id = e.level_id
    )
    select * from ended;
end
$$;

-- What became of a reservation by now; null if there is none. Its levels are locked.
create function crm.reservation_status(reservation uuid, at timestamptz) returns text
language plpgsql stable as $$
begin
    return (
        select case
                when bool_or(r.status = 'expired' or r.status = 'active' and r.expires_at <= at) then 'expired'
                else min(r.status) end
        from crm.inventory_reservation r where r.reservation_id = reservation);
end
$$;

-- Captures or releases reservations, one by one. A repeat changes nothing.
create function crm.end_stock_reservations(items jsonb, target text) returns jsonb
language plpgsql as $$
declare
    item record;
    status text;
    moves crm.inventory_movement[];
    answers jsonb := '[]';
begin
    perform crm.lock_reserved(array(select (x.value #>> '{b,reservation_id}')::uuid from jsonb_array_elements(items) x));
    for item in
        select x.i, x.c, x.id, (x.b ->> 'reservation_id')::uuid as reservation_id
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
    loop
        status := crm.reservation_status(item.reservation_id, clock_timestamp());
        if status is null then
            answers := answers || crm.fault(item.i, 'unknown_reservation', '/reservation_id', 'there is no reservation with this id');
        elsif status = target or (target = 'released' and status = 'expired') then
            answers := answers || crm.acted(item.i, item.c, 'stock_reservation', item.reservation_id, 'unchanged', 1,
                jsonb_build_object('status', status));
        elsif status <> 'active' then
            answers := answers || crm.fault(item.i, 'reservation_ended', '/reservation_id', 'this reservation is ' || status);
        else
            select array_agg((null, e.store_id, e.sku_id, 'sale', -e.quantity, item.id, null, null, null, e.reservation_id, false,
                e.order_no, null, now())::crm.inventory_movement) into moves
            from crm.end_reservations(array[item.reservation_id], target) e;
            if target = 'captured' then
                perform crm.post_movements(moves);
            end if;
            answers := answers || crm.acted(item.i, item.c, 'stock_reservation', item.reservation_id, 'updated', 2,
                jsonb_build_object('status', target));
        end if;
    end loop;
    return answers;
end
$$;
create function crm.do_stock_capture(items jsonb) returns jsonb
language plpgsql as $$
begin
    return crm.end_stock_reservations(items, 'captured');
end
$$;
create function crm.do_stock_release(items jsonb) returns jsonb
language plpgsql as $$
begin
    return crm.end_stock_reservations(items, 'released');
end
$$;

-- ---- Orders and returns -------------------------------------------------------------------------------------------------
-- Brings the stock of orders, and of their returns, to what it should be now: what was sold went, what came back and was restocked came.
-- Writes the difference to what was posted; the rows of the orders are locked by the caller.
create function crm.move_stock_of_orders(orders uuid[]) returns void
language plpgsql as $$
begin
    -- Most orders are new, and nothing but sales: that is one statement. Its levels are locked in order, each before it is written.
    if exists (
            select from crm.order_line l
            join crm.bundle_component k on k.bundle_sku_id = l.sku_id
            where l.order_id = any (orders))
        or exists (select from crm.inventory_movement m where m.entry_id = any (orders))
        or exists (select from crm.sales_return r where r.order_id = any (orders))
        or exists (
            select from crm.sales_order o
            join crm.inventory_reservation h on (h.order_no, h.order_source) = (o.order_no, o.source)
            where o.order_id = any (orders)) then
        perform crm.move_stock(orders, array(select r.return_id from crm.sales_return r where r.order_id = any (orders)));
        return;
    end if;
    with line as materialized (
        select o.order_id, o.store_id, o.created_at, o.placed_at, l.sku_id, l.quantity
        from crm.sales_order o
        join crm.order_line l on l.order_id = o.order_id
        where o.order_id = any (orders) and crm.bought(o.status) and not l.voided and l.quantity > 0
    ), sold as materialized (
        select v.level_id, l.*
        from line l
        join crm.inventory_level v on (v.sku_id, v.store_id) = (l.sku_id, l.store_id) and v.created_at <= l.created_at
        order by v.level_id
        for no key update of v
    ), ledger as (
        insert into crm.inventory_movement (movement_id, store_id, sku_id, type, quantity, entry_id, order_id, moved_at)
        select crm.uuid7(), s.store_id, s.sku_id, 'sale', -sum(s.quantity), s.order_id, s.order_id, s.placed_at
        from sold s group by s.order_id, s.store_id, s.sku_id, s.placed_at
    )
    update crm.inventory_level v set on_hand = v.on_hand - s.quantity, oversold = greatest(v.reserved - v.on_hand + s.quantity, 0),
        row_version = v.row_version + 1, updated_at = now()
    from (select level_id, sum(quantity) as quantity from sold group by 1) s
    where v.level_id = s.level_id;
end
$$;

create function crm.move_stock(orders uuid[], returns uuid[]) returns void
language plpgsql as $$
declare
    -- Those that are made or captured from here on are left for the next time: their levels are not locked.
    holds uuid[] := array(
        select h.reservation_id from crm.sales_order o
        join crm.inventory_reservation h on (h.order_no, h.order_source) = (o.order_no, o.source)
        where o.order_id = any (orders));
begin
    if exists (select from crm.bundle_component) then
        -- A bundle's composition stays as it is until this is written.
        perform from crm.sku s
        where s.type = 'bundle' and s.sku_id = any (array(select l.sku_id from crm.order_line l where l.order_id = any (orders)))
        order by s.sku_id
        for key share;
    end if;
    perform from crm.inventory_level v
    where v.level_id = any (array(
        with place as materialized (
            select o.store_id, coalesce(k.component_sku_id, l.sku_id) as sku_id
            from crm.sales_order o
            join crm.order_line l on l.order_id = o.order_id
            left join crm.bundle_component k on k.bundle_sku_id = l.sku_id
            where o.order_id = any (orders)
            union
            select coalesce(r.store_id, o.store_id), coalesce(k.component_sku_id, b.sku_id)
            from crm.sales_return r
            left join crm.sales_order o on o.order_id = r.order_id
            join crm.return_line b on b.return_id = r.return_id
            left join crm.bundle_component k on k.bundle_sku_id = b.sku_id
            where r.return_id = any (returns)
            union
            select m.store_id, m.sku_id from crm.inventory_movement m where m.entry_id = any (orders || returns)
            union
            select h.store_id, h.sku_id from crm.inventory_reservation h where h.reservation_id = any (holds)
        )
        select v.level_id from place p join crm.inventory_level v on (v.sku_id, v.store_id) = (p.sku_id, p.store_id)))
    order by v.level_id
    for no key update;
    if not found then
        return;
    end if;
    perform crm.end_reservations(array_agg(h.reservation_id), s.status)
    from crm.sales_order o
    join crm.inventory_reservation h on (h.order_no, h.order_source) = (o.order_no, o.source) and h.status = 'active'
        and h.reservation_id = any (holds)
    cross join lateral (select case when crm.bought(o.status) then 'captured' when o.status = 'cancelled' then 'released' end as status) s
    where o.order_id = any (orders) and s.status is not null
    group by s.status;

    with sold as materialized (
        select o.order_id, o.source, o.order_no, o.store_id, coalesce(k.component_sku_id, l.sku_id) as sku_id, o.created_at, o.placed_at,
            round(sum(l.quantity * coalesce(k.quantity, 1)), 4) as quantity
        from crm.sales_order o
        join crm.order_line l on l.order_id = o.order_id
        left join crm.bundle_component k
            on k.bundle_sku_id = l.sku_id and k.since <= o.created_at and (k.until > o.created_at) is not false
        where o.order_id = any (orders) and crm.bought(o.status) and not l.voided
        group by 1, 2, 3, 4, 5, 6, 7
    ), held as materialized (
        -- Of an order with a reservation, what was promised goes from where it was promised, up to what was sold.
        select s.order_id, h.store_id, s.sku_id, s.placed_at, greatest(least(h.quantity, s.quantity - coalesce(sum(h.quantity) over (
            partition by s.order_id, s.sku_id order by h.reservation_id rows between unbounded preceding and 1 preceding), 0)), 0) as quantity
        from sold s
        join crm.inventory_reservation h
            on (h.order_no, h.order_source, h.sku_id) = (s.order_no, s.source, s.sku_id) and h.status = 'captured'
                and h.reservation_id = any (holds)
    ), back as materialized (
        select r.return_id, o.order_id, coalesce(r.store_id, o.store_id) as store_id, coalesce(k.component_sku_id, b.sku_id) as sku_id,
            r.created_at, r.returned_at, round(b.quantity * coalesce(k.quantity, 1), 4) as quantity
        from crm.sales_return r
        left join crm.sales_order o on o.order_id = r.order_id
        join crm.return_line b on b.return_id = r.return_id and b.restock
        -- Without a receipt nobody knows when it was sold: it has what is in a bundle when it comes back.
        left join crm.bundle_component k on k.bundle_sku_id = b.sku_id and k.since <= coalesce(o.created_at, r.created_at)
            and (k.until > coalesce(o.created_at, r.created_at)) is not false
        where r.return_id = any (returns) and r.status = 'completed' and (r.order_id is null or crm.bought(o.status))
    ), target as (
        select s.order_id as entry_id, s.order_id, null::uuid as return_id, 'sale' as type, s.store_id, s.sku_id, s.placed_at as at, 0 as posted,
            coalesce(h.quantity, 0) - s.quantity as quantity
        from sold s
        join crm.inventory_level v on (v.store_id, v.sku_id) = (s.store_id, s.sku_id) and v.created_at <= s.created_at
        left join lateral (
            select sum(h.quantity) as quantity from held h where (h.order_id, h.sku_id) = (s.order_id, s.sku_id)) h on true
        union all
        select h.order_id, h.order_id, null, 'sale', h.store_id, h.sku_id, h.placed_at, 0, -h.quantity
        from held h
        union all
        select b.return_id, b.order_id, b.return_id, 'return', b.store_id, b.sku_id, b.returned_at, 0, b.quantity
        from back b
        join crm.inventory_level v on (v.sku_id, v.store_id) = (b.sku_id, b.store_id) and v.created_at <= b.created_at
        union all
        select m.entry_id, m.order_id, m.return_id, m.type, m.store_id, m.sku_id, m.moved_at, 1, -m.quantity
        from crm.inventory_movement m where m.entry_id = any (orders || returns)
        union all
        -- What a command of its own had captured for the order.
        select o.order_id, o.order_id, null, 'sale', m.store_id, m.sku_id, m.moved_at, 1, -m.quantity
        from crm.sales_order o
        join crm.inventory_reservation h on (h.order_no, h.order_source) = (o.order_no, o.source)
        join crm.inventory_movement m on m.reservation_id = h.reservation_id and m.sku_id = h.sku_id
        where o.order_id = any (orders) and h.reservation_id = any (holds) and (crm.bought(o.status) or o.status = 'cancelled')
    ), due as materialized (
        select t.entry_id, t.order_id, t.return_id, t.type, t.store_id, t.sku_id, sum(t.quantity) as quantity,
            -- A correction happens now.
            case when sum(t.posted) > 0 then now() else max(t.at) end as at
        from target t
        group by 1, 2, 3, 4, 5, 6
        having sum(t.quantity) <> 0
    ), ledger as (
        insert into crm.inventory_movement (movement_id, store_id, sku_id, type, quantity, entry_id, order_id, return_id, moved_at)
        select crm.uuid7(), d.store_id, d.sku_id, d.type, d.quantity, d.entry_id, d.order_id, d.return_id, d.at
        from due d
    )
    update crm.inventory_level v set on_hand = v.on_hand + d.quantity, oversold = greatest(v.reserved - v.on_hand - d.quantity, 0),
        row_version = v.row_version + 1, updated_at = now()
    from (select u.store_id, u.sku_id, sum(u.quantity) as quantity from due u group by 1, 2) d
    where (v.store_id, v.sku_id) = (d.store_id, d.sku_id) and d.quantity <> 0;
end
$$;
