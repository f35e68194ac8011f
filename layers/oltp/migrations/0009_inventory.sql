-- Stock: what there is of a SKU in a store, every movement of it, and what is promised.
--
-- Promises are decided: a reservation or a transfer that the store's books cannot cover is refused, unless the store allows it. Facts
-- are recorded: what a till sold is gone, whatever the books said; a level then shows by how much more was sold or promised than
-- there was (`oversold`). The lock on a level guards its reservations too: nobody changes one without it. Levels are locked after orders,
-- in the order of their ids.
--
-- A SKU is tracked in a store once there is a level of it, and from then on: what was sold before is not taken from it.

create table crm.inventory_level (
    level_id uuid primary key,
    store_id uuid not null references crm.store,
    sku_id uuid not null,
    sku_type text not null default 'single',
    on_hand numeric(18, 4) not null default 0,
    reserved numeric(18, 4) not null default 0,
    in_transit numeric(18, 4) not null default 0,
    oversold numeric(18, 4) not null default 0,
    available numeric(18, 4) not null generated always as (on_hand - reserved) stored,
    counted_at timestamptz,
    source_version bigint,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (sku_id, store_id),
    foreign key (sku_id, sku_type) references crm.sku (sku_id, type),
    -- Only a fact writes `oversold`: a promise that is not covered breaks this. One check: each costs every order.
    constraint inventory_level_promised check (on_hand - reserved + oversold >= 0 and reserved >= 0 and in_transit >= 0
        and oversold >= 0 and sku_type = 'single')
) with (fillfactor = 70);
create index inventory_level_store on crm.inventory_level (store_id, level_id);
create index inventory_level_oversold on crm.inventory_level (store_id) where oversold > 0;
comment on table crm.inventory_level is 'What there is of a SKU in a store; the sum of its movements.';
comment on column crm.inventory_level.level_id is 'Our id.';
comment on column crm.inventory_level.sku_id is 'The SKU; never a bundle, of which the components have stock.';
comment on column crm.inventory_level.sku_type is 'What the SKU must be.';
comment on column crm.inventory_level.on_hand is 'Units in the store; below zero where more was sold than the books had.';
comment on column crm.inventory_level.reserved is 'Units promised by active reservations.';
comment on column crm.inventory_level.in_transit is 'Units on their way to the store by transfers.';
comment on column crm.inventory_level.oversold is 'Units that are promised or sold and not there.';
comment on column crm.inventory_level.available is 'Units that can be promised: on hand less reserved.';
comment on column crm.inventory_level.counted_at is 'When it was counted last.';
comment on column crm.inventory_level.source_version is 'Version of the last snapshot from another system; an equal or older one changes nothing.';
comment on column crm.inventory_level.source_updated_at is 'Time of the last snapshot from another system; an equal or older one changes nothing.';
comment on column crm.inventory_level.created_at is 'Since when the SKU is tracked in the store.';

-- In partitions by month of its id; without foreign keys, as every order writes to it.
create table crm.inventory_movement (
    movement_id uuid not null,
    store_id uuid not null,
    sku_id uuid not null,
    type text not null,
    quantity numeric(18, 4) not null,
    entry_id uuid not null,
    order_id uuid,
    return_id uuid,
    transfer_id uuid,
    reservation_id uuid,
    derived boolean not null default false,
    reference text,
    reason text,
    moved_at timestamptz not null,
    primary key (movement_id),
    constraint inventory_movement_words check (quantity <> 0
        and type ~ '^(receipt|sale|return|transfer_out|transfer_in|adjustment|shrink|count)$')
) partition by range (movement_id);
create table crm.inventory_movement_default partition of crm.inventory_movement default;
create index inventory_movement_level on crm.inventory_movement (store_id, sku_id, movement_id);
create index inventory_movement_entry on crm.inventory_movement (entry_id);
create index inventory_movement_reservation on crm.inventory_movement (reservation_id) where reservation_id is not null;
create trigger append_only before update or delete on crm.inventory_movement
    for each row execute function crm.append_only();
create trigger no_truncate before truncate on crm.inventory_movement
    for each statement execute function crm.append_only();
create trigger no_truncate before truncate on crm.inventory_movement_default
    for each statement execute function crm.append_only();
comment on table crm.inventory_movement is 'Every change of what is on hand; only grows.';
comment on table crm.inventory_movement_default is 'Part of inventory_movement.';
comment on column crm.inventory_movement.movement_id is 'Our id, ordered by time.';
comment on column crm.inventory_movement.type is 'receipt, sale, return, transfer_out, transfer_in, adjustment, shrink or count. Sales are below zero; one above takes an earlier one back.';
comment on column crm.inventory_movement.quantity is 'Units that came (above zero) or went (below).';
comment on column crm.inventory_movement.entry_id is 'What it is part of: the order, the return, or else the command.';
comment on column crm.inventory_movement.order_id is 'The order that sold it.';
comment on column crm.inventory_movement.return_id is 'The return that brought it back.';
comment on column crm.inventory_movement.transfer_id is 'The transfer that moved it.';
comment on column crm.inventory_movement.reservation_id is 'The reservation that was captured by a command of its own.';
comment on column crm.inventory_movement.derived is 'Reckoned from two snapshots of another system, which tells levels and not movements.';
comment on column crm.inventory_movement.reference is 'Number of the document behind it, by the caller.';
comment on column crm.inventory_movement.moved_at is 'When the goods moved.';

create table crm.inventory_reservation (
    reservation_id uuid not null,
    sku_id uuid not null,
    store_id uuid not null,
    level_id uuid not null references crm.inventory_level,
    quantity numeric(18, 4) not null check (quantity > 0),
    status text not null default 'active' check (status in ('active', 'captured', 'released', 'expired')),
    expires_at timestamptz not null,
    order_source text,
    order_no text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (reservation_id, sku_id),
    check ((order_source is null) = (order_no is null))
);
create index inventory_reservation_level on crm.inventory_reservation (level_id, expires_at) where status = 'active';
create index inventory_reservation_due on crm.inventory_reservation (expires_at) where status = 'active';
create index inventory_reservation_order on crm.inventory_reservation (order_no, order_source) where order_no is not null;
comment on table crm.inventory_reservation is 'Stock that is promised: one row for each SKU of a reservation.';
comment on column crm.inventory_reservation.reservation_id is 'Our id of the reservation.';
comment on column crm.inventory_reservation.level_id is 'The level that it is taken from.';
comment on column crm.inventory_reservation.quantity is 'Units.';
comment on column crm.inventory_reservation.status is 'active, captured (the goods went out), released or expired. One that is over is over, swept or not.';
comment on column crm.inventory_reservation.expires_at is 'From then on it holds no longer.';
comment on column crm.inventory_reservation.order_source is 'Source of the order that it is for.';
comment on column crm.inventory_reservation.order_no is 'Number of the order that it is for; once that counts as bought it captures the reservation, once cancelled it releases it.';

create table crm.inventory_transfer (
    transfer_id uuid primary key,
    transfer_no text not null unique check (length(transfer_no) between 1 and 128),
    from_store_id uuid not null references crm.store,
    to_store_id uuid not null references crm.store,
    status text not null default 'shipped' check (status in ('shipped', 'partially_received', 'received')),
    shipped_at timestamptz not null,
    received_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (from_store_id <> to_store_id)
);
comment on table crm.inventory_transfer is 'Goods on their way from one store to another.';
comment on column crm.inventory_transfer.transfer_id is 'Our id.';
comment on column crm.inventory_transfer.transfer_no is 'The caller''s number.';
comment on column crm.inventory_transfer.from_store_id is 'The store that sent them.';
comment on column crm.inventory_transfer.to_store_id is 'The store that they go to.';
comment on column crm.inventory_transfer.status is 'shipped, partially_received, or received: nothing is on its way any more.';
comment on column crm.inventory_transfer.shipped_at is 'When they left.';
comment on column crm.inventory_transfer.received_at is 'When goods arrived last.';

create table crm.inventory_transfer_line (
    transfer_id uuid not null references crm.inventory_transfer,
    sku_id uuid not null references crm.sku,
    shipped numeric(18, 4) not null check (shipped > 0),
    received numeric(18, 4) not null default 0 check (received >= 0),
    lost numeric(18, 4) not null default 0 check (lost >= 0),
    primary key (transfer_id, sku_id),
    check (received + lost <= shipped)
);
comment on table crm.inventory_transfer_line is 'SKUs of transfers.';
comment on column crm.inventory_transfer_line.transfer_id is 'The transfer.';
comment on column crm.inventory_transfer_line.shipped is 'Units that left.';
comment on column crm.inventory_transfer_line.received is 'Units that arrived.';
comment on column crm.inventory_transfer_line.lost is 'Units that never arrived: what was open when the transfer was closed.';

-- ---- What all stock commands do -----------------------------------------------------------------------------------------
-- A stock command with its codes looked up. `place` is the line that a fault is told of.
create type crm.stock_line as (place int, sku_id uuid, quantity numeric);
create type crm.stock_ask as (i int, c jsonb, id uuid, b jsonb, store_id uuid, lenient boolean, lines crm.stock_line[], fault jsonb);

-- Looks up what stock commands name. `expand`: a bundle stands for what is in it; else it is refused.
create function crm.ask_stock(items jsonb, expand boolean) returns crm.stock_ask[]
language plpgsql as $$
begin
    return (
        select array_agg(row (x.i, x.c, x.id, x.b, s.store_id, s.allow_negative_stock, l.lines,
            case
                when s.store_id is null then crm.fault(x.i, 'unknown_store', case when x.b ? 'store_code' then '/store_code' else '/from_store_code' end,
                    'there is no store with this code; put the store first')
                when l.unknown is not null then crm.fault(x.i, 'unknown_sku', '/lines/' || l.unknown - 1 || '/sku_code',
                    'there is no SKU with this code; put the SKU first')
                when l.bundle is not null then crm.fault(x.i, 'bundle_stock', '/lines/' || l.bundle - 1 || '/sku_code',
                    'a bundle has no stock of its own; name its components')
            end)::crm.stock_ask order by x.place)
        from rows from (jsonb_to_recordset(items) as (i int, c jsonb, id uuid, b jsonb)) with ordinality as x (i, c, id, b, place)
        left join crm.store s on s.store_code = coalesce(x.b ->> 'store_code', x.b ->> 'from_store_code')
        cross join lateral (
            select array_agg(row (e.place, e.sku_id, e.quantity)::crm.stock_line order by e.place) filter (where e.sku_id is not null) as lines,
                min(e.place) filter (where e.sku_id is null) as unknown, min(e.place) filter (where e.bundle and not expand) as bundle
            from (
                select coalesce(k.component_sku_id, u.sku_id) as sku_id, min(v.place)::int as place, bool_or(u.type = 'bundle') as bundle,
                    round(sum(v.quantity * coalesce(k.quantity, 1)), 4) as quantity
                from rows from (jsonb_to_recordset(x.b -> 'lines') as (sku_code text, quantity numeric)) with ordinality as v (sku_code, quantity, place)
                left join crm.sku u on u.sku_code = v.sku_code
                left join crm.bundle_component k on expand and k.bundle_sku_id = u.sku_id and k.until is null
                group by 1) e) l);
end
$$;

-- Locks the levels of SKUs in stores, three arrays side by side, and makes those that are not there where `make` says so.
create function crm.lock_levels(stores uuid[], skus uuid[], make boolean[]) returns void
language plpgsql as $$
begin
    if true = any (make) then
        insert into crm.inventory_level (level_id, store_id, sku_id)
        select crm.uuid7(), k.store_id, k.sku_id
        from (
            select distinct u.store_id, u.sku_id from unnest(stores, skus, make) u (store_id, sku_id, make) where u.make
            order by 1, 2) k
        where not exists (select from crm.inventory_level v where (v.store_id, v.sku_id) = (k.store_id, k.sku_id))
        on conflict (sku_id, store_id) do nothing;
    end if;
    perform from crm.inventory_level v
    where v.level_id = any (array(
        select o.level_id from unnest(stores, skus) u (store_id, sku_id)
        join crm.inventory_level o on (o.store_id, o.sku_id) = (u.store_id, u.sku_id)))
    order by v.level_id
    for no key update;
end
$$;

-- Writes movements and brings their levels, which are locked, to what they come to.
create function crm.post_movements(moves crm.inventory_movement[]) returns void
language plpgsql as $$
begin
    insert into crm.inventory_movement (movement_id, store_id, sku_id, type, quantity, entry_id, order_id, return_id, transfer_id,
        reservation_id, derived, reference, reason, moved_at)
    select crm.uuid7(), m.store_id, m.sku_id, m.type, m.quantity, m.entry_id, m.order_id, m.return_id, m.transfer_id,
        m.reservation_id, coalesce(m.derived, false), m.reference, m.reason, m.moved_at
    from unnest(moves) m where m.quantity <> 0;
    update crm.inventory_level v set on_hand = v.on_hand + m.quantity, oversold = greatest(v.reserved - v.on_hand - m.quantity, 0),
        row_version = v.row_version + 1, updated_at = now()
    from (select u.store_id, u.sku_id, sum(u.quantity) as quantity from unnest(moves) u group by 1, 2) m
    where (v.store_id, v.sku_id) = (m.store_id, m.sku_id) and m.quantity <> 0;
end
$$;

-- What levels of a store are now, for answers.
create function crm.tell_levels(store uuid, skus uuid[]) returns jsonb
language plpgsql stable as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('sku_code', s.sku_code, 'on_hand', trim_scale(v.on_hand)::text,
            'reserved', trim_scale(v.reserved)::text, 'available', trim_scale(v.available)::text,
            'in_transit', trim_scale(v.in_transit)::text, 'oversold', trim_scale(v.oversold)::text) order by s.sku_code), '[]')
        from crm.inventory_level v join crm.sku s on s.sku_id = v.sku_id
        where v.store_id = store and v.sku_id = any (skus));
end
$$;

-- ---- Receipts, adjustments, counts and shrinkage -------------------------------------------------------------------------
create function crm.do_stock_move(items jsonb) returns jsonb
language plpgsql as $$
declare
    ask crm.stock_ask;
    asks crm.stock_ask[] := crm.ask_stock(items, false);
    kind text;
    bad record;
    answers jsonb := '[]';
begin
    perform crm.lock_levels(array_agg(a.store_id), array_agg(l.sku_id),
        array_agg(l.quantity > 0 and a.b ->> 'type' <> 'shrink' or a.b ->> 'type' = 'count' or a.lenient))
    from unnest(asks) a cross join lateral unnest(a.lines) l where a.fault is null;
    foreach ask in array asks loop
        if ask.fault is not null then
            answers := answers || ask.fault;
            continue;
        end if;
        kind := ask.b ->> 'type';
        -- What is found missing was there: the books cannot come below nothing, though below what is promised.
        select l.place - 1 as place, v.on_hand into bad
        from unnest(ask.lines) l
        left join crm.inventory_level v on (v.store_id, v.sku_id) = (ask.store_id, l.sku_id)
        where v.level_id is null or (not ask.lenient and case kind when 'shrink' then -l.quantity when 'adjustment' then l.quantity end < 0
            and v.on_hand + case kind when 'shrink' then -l.quantity else l.quantity end < 0)
        order by l.place limit 1;
        if found then
            answers := answers || case when bad.on_hand is null
                then crm.fault(ask.i, 'not_stocked', '/lines/' || bad.place || '/sku_code', 'this SKU has no stock in this store; receive or count it first')
                else crm.fault(ask.i, 'insufficient_stock', '/lines/' || bad.place || '/quantity', 'there are ' || trim_scale(bad.on_hand)) end;
            continue;
        end if;
        perform crm.post_movements(array_agg((null, v.store_id, v.sku_id, kind,
            case kind when 'shrink' then -l.quantity when 'count' then l.quantity - v.on_hand else l.quantity end,
            ask.id, null, null, null, null, false, ask.b ->> 'reference', ask.b ->> 'reason',
            coalesce((ask.b ->> 'moved_at')::timestamptz, now()))::crm.inventory_movement))
        from unnest(ask.lines) l join crm.inventory_level v on (v.store_id, v.sku_id) = (ask.store_id, l.sku_id);
        if kind = 'count' then
            update crm.inventory_level v set counted_at = coalesce((ask.b ->> 'moved_at')::timestamptz, now())
            where v.store_id = ask.store_id and v.sku_id = any (array(select l.sku_id from unnest(ask.lines) l));
        end if;
        answers := answers || crm.acted(ask.i, ask.c, 'stock_' || kind, ask.id, 'created', 1, jsonb_build_object('levels',
            crm.tell_levels(ask.store_id, array(select l.sku_id from unnest(ask.lines) l))));
    end loop;
    return answers;
end
$$;

-- Levels as another system tells them. The difference is a movement.
create function crm.do_inventory_level(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.inventory_level;
    now_is numeric;
    fresh boolean;
    answers jsonb := '[]';
begin
    perform crm.lock_levels(array_agg(s.store_id), array_agg(k.sku_id), array_agg(false))
    from jsonb_to_recordset(items) as x (b jsonb)
    join crm.store s on s.store_code = x.b ->> 'store_code'
    join crm.sku k on k.sku_code = x.b ->> 'sku_code';
    for item in
        select x.i, x.c, x.id, b.*, s.store_id, k.sku_id, k.type
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (store_code text, sku_code text, on_hand numeric, available numeric,
            source_version bigint, source_updated_at timestamptz)
        left join crm.store s on s.store_code = b.store_code
        left join crm.sku k on k.sku_code = b.sku_code
    loop
        if item.store_id is null or item.sku_id is null or item.type = 'bundle' then
            answers := answers || case
                when item.store_id is null then crm.fault(item.i, 'unknown_store', '/store_code', 'there is no store with this code; put the store first')
                when item.sku_id is null then crm.fault(item.i, 'unknown_sku', '/sku_code', 'there is no SKU with this code; put the SKU first')
                else crm.fault(item.i, 'bundle_stock', '/sku_code', 'a bundle has no stock of its own; name its components') end;
            continue;
        end if;
        select * into old from crm.inventory_level v where (v.store_id, v.sku_id) = (item.store_id, item.sku_id);
        fresh := not found;
        if fresh then
            perform crm.lock_levels(array[item.store_id], array[item.sku_id], array[true]);
            select * into old from crm.inventory_level v where (v.store_id, v.sku_id) = (item.store_id, item.sku_id);
        end if;
        if item.source_version <= old.source_version
            or (item.source_version is null or old.source_version is null) and item.source_updated_at <= old.source_updated_at then
            answers := answers || crm.answer(item.i, item.c, 'inventory_level', old.level_id, 'unchanged', old.row_version);
            continue;
        end if;
        now_is := coalesce(item.on_hand, item.available + old.reserved);
        if now_is <> old.on_hand then
            perform crm.post_movements(array[(null, item.store_id, item.sku_id, 'adjustment', now_is - old.on_hand, item.id, null, null,
                null, null, true, null, 'snapshot', coalesce(item.source_updated_at, now()))::crm.inventory_movement]);
        end if;
        update crm.inventory_level v set source_version = coalesce(item.source_version, v.source_version),
            source_updated_at = coalesce(item.source_updated_at, v.source_updated_at),
            row_version = old.row_version + case when fresh then 0 else 1 end, updated_at = now()
        where v.level_id = old.level_id returning v.row_version into old.row_version;
        answers := answers || crm.answer(item.i, item.c, 'inventory_level', old.level_id,
            case when fresh then 'created' else 'updated' end, old.row_version);
    end loop;
    return answers;
end
$$;

-- ---- Transfers ----------------------------------------------------------------------------------------------------------
create function crm.do_stock_transfer(items jsonb) returns jsonb
language plpgsql as $$
declare
    ask crm.stock_ask;
    asks crm.stock_ask[] := crm.ask_stock(items, false);
    target uuid;
    bad record;
    left_at timestamptz;
    answers jsonb := '[]';
begin
    perform crm.lock_levels(array_agg(k.store_id), array_agg(l.sku_id), array_agg(false))
    from unnest(asks) a cross join lateral unnest(a.lines) l
    cross join lateral (
        select a.store_id union all
        select s.store_id from crm.store s where s.store_code = a.b ->> 'to_store_code') k
    where a.fault is null;
    foreach ask in array asks loop
        if ask.fault is not null then
            answers := answers || ask.fault;
            continue;
        end if;
        target := (select s.store_id from crm.store s where s.store_code = ask.b ->> 'to_store_code');
        if target is null then
            answers := answers || crm.fault(ask.i, 'unknown_store', '/to_store_code', 'there is no store with this code; put the store first');
            continue;
        elsif exists (select from crm.inventory_transfer t where t.transfer_no = ask.b ->> 'transfer_no') then
            answers := answers || crm.fault(ask.i, 'transfer_exists', '/transfer_no', 'there is a transfer with this number already');
            continue;
        end if;
        bad := crm.uncovered(ask);
        if bad.place is not null then
            answers := answers || crm.uncovered_fault(ask.i, bad.place, bad.available);
            continue;
        end if;
        left_at := coalesce((ask.b ->> 'moved_at')::timestamptz, now());
        perform crm.lock_levels(array_agg(k.store_id), array_agg(l.sku_id), array_agg(true))
        from unnest(ask.lines) l cross join unnest(case when ask.lenient then array[target, ask.store_id] else array[target] end) k (store_id);
        insert into crm.inventory_transfer (transfer_id, transfer_no, from_store_id, to_store_id, shipped_at)
        values (ask.id, ask.b ->> 'transfer_no', ask.store_id, target, left_at);
        insert into crm.inventory_transfer_line (transfer_id, sku_id, shipped)
        select ask.id, l.sku_id, l.quantity from unnest(ask.lines) l;
        perform crm.post_movements(array_agg((null, ask.store_id, l.sku_id, 'transfer_out', -l.quantity, ask.id, null, null, ask.id, null,
            false, ask.b ->> 'transfer_no', ask.b ->> 'reason', left_at)::crm.inventory_movement))
        from unnest(ask.lines) l;
        update crm.inventory_level v set in_transit = v.in_transit + l.quantity, row_version = v.row_version + 1, updated_at = now()
        from unnest(ask.lines) l where (v.store_id, v.sku_id) = (target, l.sku_id);
        answers := answers || crm.acted(ask.i, ask.c, 'stock_transfer', ask.id, 'created', 1, jsonb_build_object('levels',
            crm.tell_levels(ask.store_id, array(select l.sku_id from unnest(ask.lines) l))));
    end loop;
    return answers;
end
$$;

create function crm.do_stock_transfer_receive(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    sent crm.inventory_transfer;
    bad record;
    arrived_at timestamptz;
    answers jsonb := '[]';
begin
    perform from crm.inventory_transfer t where t.transfer_no = any (array(
        select x.value #>> '{b,transfer_no}' from jsonb_array_elements(items) x)) order by t.transfer_no for no key update;
    perform crm.lock_levels(array_agg(t.to_store_id), array_agg(l.sku_id), array_agg(false))
    from jsonb_array_elements(items) x
    join crm.inventory_transfer t on t.transfer_no = x.value #>> '{b,transfer_no}'
    join crm.inventory_transfer_line l on l.transfer_id = t.transfer_id;
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (transfer_no text, lines jsonb, close boolean, moved_at timestamptz)
    loop
        select * into sent from crm.inventory_transfer t where t.transfer_no = item.transfer_no;
        if sent.transfer_id is null then
            answers := answers || crm.fault(item.i, 'unknown_transfer', '/transfer_no', 'there is no transfer with this number');
            continue;
        end if;
        select r.place - 1 as place, s.sku_id, l.shipped - l.received - l.lost as rest into bad
        from rows from (jsonb_to_recordset(item.lines) as (sku_code text, quantity numeric)) with ordinality as r (sku_code, quantity, place)
        left join crm.sku s on s.sku_code = r.sku_code
        left join crm.inventory_transfer_line l on (l.transfer_id, l.sku_id) = (sent.transfer_id, s.sku_id)
        where l.sku_id is null or r.quantity > l.shipped - l.received - l.lost
        order by r.place limit 1;
        if found then
            answers := answers || case when bad.rest is null
                then crm.fault(item.i, 'not_in_transfer', '/lines/' || bad.place || '/sku_code', 'the transfer has no such SKU')
                else crm.fault(item.i, 'over_receive', '/lines/' || bad.place || '/quantity', trim_scale(bad.rest)
                    || ' are on their way; what came beyond that is a receipt') end;
            continue;
        end if;
        arrived_at := coalesce(item.moved_at, now());
        with open as (
            select l.sku_id, l.shipped - l.received - l.lost as rest
            from crm.inventory_transfer_line l where l.transfer_id = sent.transfer_id
        ), came as (
            select o.sku_id, o.rest, case when item.lines is null then o.rest else coalesce(r.quantity, 0) end as quantity
            from open o
            left join (
                select s.sku_id, v.quantity from jsonb_to_recordset(item.lines) as v (sku_code text, quantity numeric)
                join crm.sku s on s.sku_code = v.sku_code) r on r.sku_id = o.sku_id
        ), line as (
            update crm.inventory_transfer_line l set received = l.received + c.quantity,
                lost = l.lost + case when item.close then c.rest - c.quantity else 0 end
            from came c where (l.transfer_id, l.sku_id) = (sent.transfer_id, c.sku_id)
        ), level as (
            update crm.inventory_level v set in_transit = v.in_transit - case when item.close then c.rest else c.quantity end,
                row_version = v.row_version + 1, updated_at = now()
            from came c where (v.store_id, v.sku_id) = (sent.to_store_id, c.sku_id) and c.rest > 0
        )
        select array_agg((null, sent.to_store_id, c.sku_id, 'transfer_in', c.quantity, item.id, null, null, sent.transfer_id, null, false,
            sent.transfer_no, null, arrived_at)::crm.inventory_movement) as moves, sum(c.rest) as rest into bad
        from came c where c.rest > 0;
        if bad.rest is null then
            answers := answers || crm.acted(item.i, item.c, 'stock_transfer', sent.transfer_id, 'unchanged', sent.row_version,
                jsonb_build_object('status', sent.status));
            continue;
        end if;
        perform crm.post_movements(bad.moves);
        update crm.inventory_transfer t set received_at = arrived_at, row_version = t.row_version + 1, updated_at = now(),
            status = case when exists (
                select from crm.inventory_transfer_line l where l.transfer_id = t.transfer_id and l.shipped > l.received + l.lost)
                then 'partially_received' else 'received' end
        where t.transfer_id = sent.transfer_id returning t.* into sent;
        answers := answers || crm.acted(item.i, item.c, 'stock_transfer', sent.transfer_id, 'updated', sent.row_version,
            jsonb_build_object('status', sent.status, 'levels', crm.tell_levels(sent.to_store_id, array(
                select l.sku_id from crm.inventory_transfer_line l where l.transfer_id = sent.transfer_id))));
    end loop;
    return answers;
end
$$;
