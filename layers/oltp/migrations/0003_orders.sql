-- Commands on orders and returns, their points, idempotency keys, and `crm.run`, which runs commands of all kinds.

-- Whether an order of a status counts as bought: for points, and as what came of an action.
create function crm.bought(status text) returns boolean
language sql immutable parallel safe as $$
    select status in ('paid', 'partially_fulfilled', 'fulfilled')
$$;

-- Brings the points of orders to what they should be now: one point for each whole major unit of the net amount that stays with
-- the buyer, while the order counts. Writes the difference to what was posted; each order's row is locked by the caller.
create function crm.post_points(orders uuid[]) returns void
language plpgsql as $$
declare
    owners uuid[];
begin
    select array_agg(member_id) into owners from (
        select o.member_id from crm.sales_order o where o.order_id = any (orders) and o.member_id is not null
        union
        select l.member_id from crm.points_ledger l where l.order_id = any (orders) and l.member_id is not null) m;
    if owners is null then
        return;
    end if;
    -- Always in the same order, so that two batches cannot wait for each other.
    perform from crm.points_account a
    where a.kind = 'member' and a.member_id = any (owners)
    order by a.account_id
    for no key update;

    with due as (
        select o.order_id, a.account_id, o.member_id, now() as at, 0 as posted,
            case when crm.bought(o.status)
                then greatest(o.net_minor - coalesce(r.net_minor, 0), 0) / crm.major(o.currency)
                else 0 end as points
        from crm.sales_order o
        join crm.points_account a on a.member_id = o.member_id and a.kind = 'member'
        left join lateral (
            select sum(r.net_minor)::bigint as net_minor from crm.sales_return r
            where r.order_id = o.order_id and r.status = 'completed') r on true
        where o.order_id = any (orders)
        union all
        select l.order_id, l.account_id, l.member_id, now(), 1, -l.points
        from crm.points_ledger l
        where l.order_id = any (orders) and l.member_id is not null
    ), entry as materialized (
        select crm.uuid7() as entry_id, d.*
        from (
            select order_id, account_id, member_id, at, sum(points)::bigint as points, sum(posted) > 0 as posted
            from due group by order_id, account_id, member_id, at having sum(points) <> 0) d
    ), ledger as (
        insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
        select e.entry_id, s.side, case s.side when 1 then e.account_id else '00000000-0000-7000-8000-000000000001' end,
            case s.side when 1 then e.member_id end,
            case when e.points < 0 then 'reverse' when e.posted then 'adjust' else 'earn' end,
            case s.side when 1 then e.points else -e.points end, e.order_id, e.at
        from entry e cross join (values (1), (2)) s (side)
    )
    update crm.points_account a set balance = a.balance + e.points, updated_at = now()
    from (select account_id, sum(points)::bigint as points from entry group by account_id) e
    where a.account_id = e.account_id;
end
$$;

-- An order as asked for, with every code looked up.
create type crm.order_ask as (
    i int, c jsonb, order_id uuid, known boolean, source text, order_no text, channel text, store_id uuid, member_id uuid,
    contact text, anonymous_id text, business_date date, placed_at timestamptz, currency text, status text, units numeric,
    gross_minor bigint, discount_minor bigint, tax_minor bigint, shipping_minor bigint, net_minor bigint, total_minor bigint,
    coupon_codes text[], source_updated_at timestamptz, lines crm.order_line[], payments crm.payment[], fault jsonb
);

-- Looks up all that orders name.
create function crm.ask_orders(items jsonb) returns crm.order_ask[]
language plpgsql as $$
begin
    return (
        select array_agg(row (x.i, x.c, x.id, o.order_id is not null, b.source, b.order_no, b.channel, s.store_id, m.member_id,
            case when m.member_id is null and b.buyer_kind <> 'anonymous' then b.buyer_kind || ':' || b.buyer_token end,
            coalesce(b.anonymous_id, case b.buyer_kind when 'anonymous' then b.buyer_token end),
            coalesce(b.business_date, (b.placed_at at time zone coalesce(s.timezone, 'UTC'))::date),
            b.placed_at, b.currency, b.status, b.units, b.gross, b.discount, b.tax, b.shipping, b.net, b.total,
            array(select jsonb_array_elements_text(b.coupon_codes)), b.source_updated_at, l.lines, p.payments,
            case
                when b.store_code is not null and s.store_id is null then crm.fault(x.i, 'unknown_store', '/store_code',
                    'there is no store with this code; put the store first')
                when b.member_no is not null and m.member_id is null then crm.fault(x.i, 'unknown_member', '/member_no',
                    'there is no member with this number; put the member first')
                when l.unknown is not null then crm.fault(x.i, 'unknown_sku', '/lines/' || (l.unknown - 1) || '/sku_code',
                    'there is no SKU with this code; put the SKU first')
            end)::crm.order_ask)
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (source text, order_no text, channel text, store_code text, member_no text,
            buyer_kind text, buyer_token text, anonymous_id text, business_date date, placed_at timestamptz, currency text,
            status text, units numeric, gross bigint, discount bigint, tax bigint, shipping bigint, net bigint, total bigint,
            coupon_codes jsonb, source_updated_at timestamptz, lines jsonb, payments jsonb)
        left join crm.store s on s.store_code = b.store_code
        left join crm.member_identity h
            on b.member_no is null and (h.kind, h.token) = (b.buyer_kind, b.buyer_token) and h.strength = 'strong'
        left join crm.member m
            on m.member_id = coalesce(h.member_id, (select n.member_id from crm.member n where n.member_no = b.member_no))
        left join crm.sales_order o on (o.source, o.order_no) = (b.source, b.order_no)
        cross join lateral (
            select array_agg(row (v.id, x.id, v.n, m.member_id, k.sku_id, k.product_id, v.q, v.price, v.gross, v.discount, v.tax,
                    v.gross - v.discount, v.void, v.text)::crm.order_line) as lines,
                min(v.place) filter (where k.sku_id is null) as unknown
            from rows from (jsonb_to_recordset(b.lines) as (id uuid, n int, sku text, q numeric, price bigint, gross bigint,
                discount bigint, tax bigint, void boolean, text text)) with ordinality
                as v (id, n, sku, q, price, gross, discount, tax, void, text, place)
            left join crm.sku k on k.sku_code = v.sku) l
        cross join lateral (
            select array_agg(row (v.id, x.id, v.n, m.member_id, v.tender, v.amount, b.currency, v.status, v.reference,
                v.captured_at)::crm.payment) as payments
            from jsonb_to_recordset(b.payments) as v (id uuid, n int, tender text, amount bigint, status text, reference text,
                captured_at timestamptz)) p);
end
$$;

-- Orders: new ones all at once, changes of known ones one by one.
create function crm.put_orders(items jsonb) returns jsonb
language plpgsql as $$
declare
    asks crm.order_ask[];
    ask crm.order_ask;
    made uuid[];
    answers jsonb;
begin
    asks := crm.ask_orders(items);
    with new as (
        insert into crm.sales_order (order_id, source, order_no, channel, store_id, member_id, contact, anonymous_id,
            business_date, placed_at, currency, status, units, gross_minor, discount_minor, tax_minor, shipping_minor, net_minor,
            total_minor, coupon_codes, source_updated_at)
        select a.order_id, a.source, a.order_no, a.channel, a.store_id, a.member_id, a.contact, a.anonymous_id, a.business_date,
            a.placed_at, a.currency, a.status, a.units, a.gross_minor, a.discount_minor, a.tax_minor, a.shipping_minor,
            a.net_minor, a.total_minor, a.coupon_codes, a.source_updated_at
        from unnest(asks) a where a.fault is null and not a.known
        on conflict (source, order_no) do nothing
        returning order_id
    )
    select coalesce(array_agg(order_id), '{}') into made from new;

    if cardinality(made) > 0 then
        insert into crm.order_line
        select l.* from unnest(asks) a cross join lateral unnest(a.lines) l where a.order_id = any (made);
        insert into crm.payment
        select p.* from unnest(asks) a cross join lateral unnest(a.payments) p where a.order_id = any (made);
    end if;
    answers := crm.answers('order', (
        select array_agg(row (a.i, a.c, a.order_id, 1, 'created')::crm.told) from unnest(asks) a where a.order_id = any (made)));
    if cardinality(made) = cardinality(asks) then
        return answers;
    end if;
    foreach ask in array asks loop
        if ask.fault is not null then
            answers := answers || ask.fault;
        elsif ask.order_id <> all (made) then
            answers := answers || crm.edit_order(ask);
        end if;
    end loop;
    return answers;
end
$$;

-- Makes a known order what is asked for. Lines and payments that are as they were stay untouched; those that are gone are kept as
-- voided, with zero amounts.
create function crm.edit_order(ask crm.order_ask) returns jsonb
language plpgsql as $$
declare
    old crm.sales_order;
    short int;
    touched bigint;
    version bigint;
begin
    select * into strict old from crm.sales_order o
    where (o.source, o.order_no) = (ask.source, ask.order_no) for no key update;
    if ask.source_updated_at < old.source_updated_at then
        return crm.answer(ask.i, ask.c, 'order', old.order_id, 'unchanged', old.row_version);
    end if;
    short := crm.line_below_returned(old.order_id, ask.lines);
    if short is not null then
        return crm.fault(ask.i, 'below_returned', '/lines',
            'more pieces or money went back for line ' || short || ' than it would have');
    end if;
    touched := crm.edit_lines(old.order_id, ask.member_id, ask.lines)
        + crm.edit_payments(old.order_id, ask.member_id, ask.payments);
    update crm.sales_order o set channel = ask.channel, store_id = ask.store_id, member_id = ask.member_id, contact = ask.contact,
        anonymous_id = ask.anonymous_id, business_date = ask.business_date, placed_at = ask.placed_at, currency = ask.currency,
        status = ask.status, units = ask.units, gross_minor = ask.gross_minor, discount_minor = ask.discount_minor,
        tax_minor = ask.tax_minor, shipping_minor = ask.shipping_minor, net_minor = ask.net_minor,
        total_minor = ask.total_minor, coupon_codes = ask.coupon_codes,
        source_updated_at = coalesce(ask.source_updated_at, o.source_updated_at), row_version = o.row_version + 1,
        updated_at = now()
    where o.order_id = old.order_id
        and (touched > 0 or (o.channel, o.store_id, o.member_id, o.contact, o.anonymous_id, o.business_date, o.placed_at,
            o.currency, o.status, o.units, o.gross_minor, o.discount_minor, o.tax_minor, o.shipping_minor, o.coupon_codes,
            o.source_updated_at) is distinct from
            (ask.channel, ask.store_id, ask.member_id, ask.contact, ask.anonymous_id, ask.business_date, ask.placed_at,
            ask.currency, ask.status, ask.units, ask.gross_minor, ask.discount_minor, ask.tax_minor, ask.shipping_minor,
            ask.coupon_codes, coalesce(ask.source_updated_at, o.source_updated_at)))
    returning o.row_version into version;
    if version is null then
        return crm.answer(ask.i, ask.c, 'order', old.order_id, 'unchanged', old.row_version);
    end if;
    if ask.member_id is distinct from old.member_id then
        -- What hangs on the order travels with its owner.
        update crm.sales_return r set member_id = ask.member_id, row_version = r.row_version + 1, updated_at = now()
        where r.order_id = old.order_id;
        update crm.return_line l set member_id = ask.member_id
        from crm.sales_return r where r.order_id = old.order_id and l.return_id = r.return_id;
    end if;
    return crm.answer(ask.i, ask.c, 'order', old.order_id, 'updated', version);
end
$$;

-- The first line of an order of which more pieces or more money went back than these lines would have; null if there is none.
create function crm.line_below_returned(order_id uuid, lines crm.order_line[]) returns int
language plpgsql stable as $$
begin
    return (
        select min(b.line_no) from (
            select l.line_no, sum(rl.quantity) as quantity, sum(rl.net_minor) as net_minor
            from crm.sales_return r
            join crm.return_line rl on rl.return_id = r.return_id
            join crm.order_line l on l.order_line_id = rl.order_line_id
            where r.order_id = line_below_returned.order_id and r.status <> 'rejected'
            group by l.line_no) b
        left join unnest(lines) n on n.line_no = b.line_no and not n.voided
        where b.quantity > coalesce(n.quantity, 0) or b.net_minor > coalesce(n.net_minor, 0));
end
$$;

-- Makes an order's lines what is asked for; gives the number of rows touched.
create function crm.edit_lines(order_id uuid, owner uuid, lines crm.order_line[]) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.order_line as t
        select n.order_line_id, edit_lines.order_id, n.line_no, n.member_id, n.sku_id, n.product_id, n.quantity,
            n.unit_price_minor, n.gross_minor, n.discount_minor, n.tax_minor, n.net_minor, n.voided, n.description
        from unnest(lines) n
        on conflict on constraint order_line_order_id_line_no_key do update set member_id = excluded.member_id,
            sku_id = excluded.sku_id, product_id = excluded.product_id, quantity = excluded.quantity,
            unit_price_minor = excluded.unit_price_minor, gross_minor = excluded.gross_minor,
            discount_minor = excluded.discount_minor, tax_minor = excluded.tax_minor, net_minor = excluded.net_minor,
            voided = excluded.voided, description = excluded.description
        where (t.member_id, t.sku_id, t.product_id, t.quantity, t.unit_price_minor, t.gross_minor, t.discount_minor, t.tax_minor,
            t.voided, t.description) is distinct from (excluded.member_id, excluded.sku_id, excluded.product_id,
            excluded.quantity, excluded.unit_price_minor, excluded.gross_minor, excluded.discount_minor, excluded.tax_minor,
            excluded.voided, excluded.description)
        returning 1
    ), gone as (
        update crm.order_line t set voided = true, quantity = 0, gross_minor = 0, discount_minor = 0, tax_minor = 0,
            net_minor = 0, member_id = owner
        where t.order_id = edit_lines.order_id and not exists (select from unnest(lines) n where n.line_no = t.line_no)
            and (t.voided, t.quantity, t.gross_minor, t.discount_minor, t.tax_minor, t.net_minor, t.member_id)
                is distinct from (true, 0::numeric, 0::bigint, 0::bigint, 0::bigint, 0::bigint, owner)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- Makes an order's payments what is asked for; gives the number of rows touched.
create function crm.edit_payments(order_id uuid, owner uuid, payments crm.payment[]) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.payment as t
        select n.payment_id, edit_payments.order_id, n.payment_no, n.member_id, n.tender_type, n.amount_minor, n.currency,
            n.status, n.processor_ref, n.captured_at
        from unnest(payments) n
        on conflict on constraint payment_order_id_payment_no_key do update set member_id = excluded.member_id,
            tender_type = excluded.tender_type, amount_minor = excluded.amount_minor, currency = excluded.currency,
            status = excluded.status, processor_ref = excluded.processor_ref, captured_at = excluded.captured_at
        where (t.member_id, t.tender_type, t.amount_minor, t.currency, t.status, t.processor_ref, t.captured_at) is distinct from
            (excluded.member_id, excluded.tender_type, excluded.amount_minor, excluded.currency, excluded.status,
            excluded.processor_ref, excluded.captured_at)
        returning 1
    ), gone as (
        update crm.payment t set status = 'voided', amount_minor = 0, member_id = owner
        where t.order_id = edit_payments.order_id and not exists (select from unnest(payments) n where n.payment_no = t.payment_no)
            and (t.status, t.amount_minor, t.member_id) is distinct from ('voided', 0::bigint, owner)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- A return's lines against what was sold and what other returns took: `fault` says what is too much, `net` and `tax` are the
-- line's share by quantity, and what is left of it when the last piece comes back.
create type crm.return_ask as (n int, place bigint, order_line_id uuid, quantity numeric, net_minor bigint, tax_minor bigint,
    fault text, detail text);
create function crm.ask_return(order_id uuid, return_id uuid, lines jsonb, checked boolean) returns setof crm.return_ask
language plpgsql stable as $$
begin
    return query select v.line_no, v.place, l.order_line_id, v.quantity,
        coalesce(v.net_minor, case when v.quantity = l.quantity - g.quantity then greatest(l.net_minor - g.net, 0)
            else least(round(l.net_minor * v.quantity / nullif(l.quantity, 0))::bigint, greatest(l.net_minor - g.net, 0)) end, 0),
        coalesce(case when v.quantity = l.quantity - g.quantity then l.tax_minor - g.tax
            else round(l.tax_minor * v.quantity / nullif(l.quantity, 0))::bigint end, 0),
        case
            when l.order_line_id is null or l.voided then 'unknown_line'
            when checked and v.quantity > l.quantity - g.quantity then 'over_return'
            when checked and v.net_minor > l.net_minor - g.net then 'over_return_net'
        end,
        case
            when l.order_line_id is null or l.voided then 'the order has no line ' || v.line_no
            else 'of line ' || v.line_no || ' there are ' || trim_scale(greatest(l.quantity - g.quantity, 0)) || ' pieces and '
                || greatest(l.net_minor - g.net, 0) || ' minor units left to return'
        end
    from rows from (jsonb_to_recordset(lines) as (line_no int, quantity numeric, net_minor bigint)) with ordinality
        as v (line_no, quantity, net_minor, place)
    left join crm.order_line l on (l.order_id, l.line_no) = (ask_return.order_id, v.line_no)
    cross join lateral (
        select coalesce(sum(rl.quantity), 0) as quantity, coalesce(sum(rl.net_minor), 0)::bigint as net,
            coalesce(sum(rl.tax_minor), 0)::bigint as tax
        from crm.return_line rl join crm.sales_return r on r.return_id = rl.return_id
        where rl.order_line_id = l.order_line_id and r.status <> 'rejected'
            and r.return_id is distinct from ask_return.return_id) g;
end
$$;

-- Returns, one by one; each locks its order.
create function crm.put_returns(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    sold crm.sales_order;
    shop crm.store;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, x.b, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (order_source text, order_no text, store_code text)
    loop
        shop := null;
        if item.store_code is not null then
            select * into shop from crm.store s where s.store_code = item.store_code;
            if shop.store_id is null then
                answers := answers || crm.fault(item.i, 'unknown_store', '/store_code', 'there is no store with this code; put the store first');
                continue;
            end if;
        end if;
        select * into sold from crm.sales_order o
        where (o.source, o.order_no) = (item.order_source, item.order_no) for no key update;
        if sold.order_id is null then
            answers := answers || crm.fault(item.i, 'unknown_order', '/order_no', 'there is no order with this source and number; put the order first');
            continue;
        end if;
        answers := answers || crm.put_return(item.i, item.c, item.id, item.b, sold, shop);
    end loop;
    return answers;
end
$$;

-- One return of an order that is locked.
create function crm.put_return(i int, c jsonb, id uuid, b jsonb, sold crm.sales_order, shop crm.store) returns jsonb
language plpgsql as $$
declare
    old crm.sales_return;
    ask crm.sales_return;
    lines crm.return_ask[];
    bad crm.return_ask;
    touched bigint;
    version bigint;
begin
    ask := jsonb_populate_record(null::crm.sales_return, b);
    select * into old from crm.sales_return r where (r.source, r.return_no) = (ask.source, ask.return_no) for no key update;
    if old.order_id <> sold.order_id then
        return crm.fault(i, 'other_order', '/order_no', 'this return is of another order');
    end if;
    if ask.source_updated_at < old.source_updated_at then
        return crm.answer(i, c, 'return', old.return_id, 'unchanged', old.row_version);
    end if;
    ask.status := coalesce(ask.status, 'completed');
    select array_agg(l) into lines
    from crm.ask_return(sold.order_id, old.return_id, b -> 'lines', ask.status <> 'rejected') l;
    select * into bad from unnest(lines) l where l.fault is not null order by l.place limit 1;
    if bad.fault is not null then
        return crm.fault(i, replace(bad.fault, '_net', ''), '/lines/' || (bad.place - 1) || case bad.fault
            when 'unknown_line' then '/line_no' when 'over_return' then '/quantity' else '/net_minor' end, bad.detail);
    end if;
    ask.return_id := coalesce(old.return_id, id);
    insert into crm.sales_return as t (return_id, source, return_no, order_id, member_id, store_id, status, business_date,
        returned_at, reason, currency, units, net_minor, tax_minor, source_updated_at)
    select ask.return_id, ask.source, ask.return_no, sold.order_id, sold.member_id, shop.store_id, ask.status,
        coalesce(ask.business_date, (ask.returned_at at time zone coalesce(shop.timezone, 'UTC'))::date), ask.returned_at,
        ask.reason, sold.currency, sum(l.quantity), sum(l.net_minor), sum(l.tax_minor), ask.source_updated_at
    from unnest(lines) l
    on conflict (source, return_no) do update set member_id = excluded.member_id, store_id = excluded.store_id,
        status = excluded.status, business_date = excluded.business_date, returned_at = excluded.returned_at,
        reason = excluded.reason, currency = excluded.currency, units = excluded.units, net_minor = excluded.net_minor,
        tax_minor = excluded.tax_minor, source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
        row_version = t.row_version + 1, updated_at = now()
    where (t.member_id, t.store_id, t.status, t.business_date, t.returned_at, t.reason, t.currency, t.units, t.net_minor,
            t.tax_minor, t.source_updated_at) is distinct from
        (excluded.member_id, excluded.store_id, excluded.status, excluded.business_date, excluded.returned_at, excluded.reason,
            excluded.currency, excluded.units, excluded.net_minor, excluded.tax_minor,
            coalesce(excluded.source_updated_at, t.source_updated_at))
    returning t.row_version into version;
    if old.return_id is null and version is distinct from 1 then
        -- The same number was taken at the same moment for another order, whose row this transaction has not locked.
        raise exception 'made at the same time' using errcode = 'unique_violation';
    end if;
    touched := crm.edit_return_lines(ask.return_id, sold.member_id, lines, b -> 'ids');
    if version is null and touched > 0 then
        update crm.sales_return r set row_version = r.row_version + 1, updated_at = now()
        where r.return_id = ask.return_id returning r.row_version into version;
    end if;
    return crm.answer(i, c, 'return', ask.return_id,
        case when version is null then 'unchanged' when old.return_id is null then 'created' else 'updated' end,
        coalesce(version, old.row_version));
end
$$;

-- Makes a return's lines what is asked for; gives the number of rows touched. Lines that are gone are kept with nothing in them.
create function crm.edit_return_lines(return_id uuid, owner uuid, lines crm.return_ask[], ids jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.return_line as t (return_line_id, return_id, order_line_id, member_id, quantity, net_minor, tax_minor)
        select (ids ->> (n.place - 1)::int)::uuid, edit_return_lines.return_id, n.order_line_id, owner, n.quantity, n.net_minor,
            n.tax_minor
        from unnest(lines) n
        on conflict on constraint return_line_return_id_order_line_id_key do update set member_id = excluded.member_id,
            quantity = excluded.quantity, net_minor = excluded.net_minor, tax_minor = excluded.tax_minor
        where (t.member_id, t.quantity, t.net_minor, t.tax_minor) is distinct from
            (excluded.member_id, excluded.quantity, excluded.net_minor, excluded.tax_minor)
        returning 1
    ), gone as (
        update crm.return_line t set quantity = 0, net_minor = 0, tax_minor = 0
        where t.return_id = edit_return_lines.return_id and t.quantity > 0
            and not exists (select from unnest(lines) n where n.order_line_id = t.order_line_id)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- Takes the idempotency keys of commands. A key in use by a transaction under way is waited for. Gives the answers to items that
-- were answered before, as the first answer or as a mismatch.
create function crm.claim_keys(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    kept crm.idempotency;
    answers jsonb := '[]';
begin
    <<each>>
    for item in
        select x.i, x.c ->> 'actor' as actor, x.key, decode(x.hash, 'hex') as hash
        from jsonb_to_recordset(items) as x (i int, c jsonb, key text, hash text)
        where x.key is not null
        -- In one order in every transaction, so that two cannot wait for each other.
        order by 2, 3
    loop
        loop
            insert into crm.idempotency (actor, key, request_hash, response) values (item.actor, item.key, item.hash, 'null')
            on conflict (actor, key) do nothing;
            continue each when found;
            select * into kept from crm.idempotency k where (k.actor, k.key) = (item.actor, item.key);
            -- Not there any more: it has just been taken away, and the key is free.
            exit when found;
        end loop;
        answers := answers || case when kept.request_hash = item.hash
            then kept.response || jsonb_build_object('i', item.i, 'repeated', true)
            else crm.fault(item.i, 'idempotency_mismatch', '', '') end;
    end loop;
    return answers;
end
$$;

-- Waves without the items that are answered already.
create function crm.without(waves jsonb, told jsonb) returns jsonb
language plpgsql stable as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('kind', w.value -> 'kind', 'items', (
            select coalesce(jsonb_agg(x.value order by x.ordinality), '[]')
            from jsonb_array_elements(w.value -> 'items') with ordinality x
            where not exists (select from jsonb_array_elements(told) t where t.value -> 'i' = x.value -> 'i'))) order by w.ordinality), '[]')
        from jsonb_array_elements(waves) with ordinality w);
end
$$;

-- Locks the known orders that any of the waves is about.
create function crm.lock_orders(waves jsonb) returns void
language plpgsql as $$
begin
    perform from crm.sales_order o
    join (
        select distinct coalesce(x.value #>> '{b,order_source}', x.value #>> '{b,source}') as source,
            x.value #>> '{b,order_no}' as order_no
        from jsonb_array_elements(waves) w cross join lateral jsonb_array_elements(w.value -> 'items') x
        where w.value ->> 'kind' in ('order', 'return')) k on (k.source, k.order_no) = (o.source, o.order_no)
    order by o.source, o.order_no
    for no key update of o;
end
$$;

-- Keeps the answers to commands with a key; a command that failed keeps nothing.
create function crm.settle_keys(items jsonb, answers jsonb) returns void
language plpgsql as $$
declare
    item record;
begin
    for item in
        select x.c ->> 'actor' as actor, x.key, a.value as answer
        from jsonb_to_recordset(items) as x (i int, c jsonb, key text)
        join jsonb_array_elements(answers) a on (a.value ->> 'i')::int = x.i
        where x.key is not null
    loop
        if item.answer ? 'fault' then
            delete from crm.idempotency k where (k.actor, k.key) = (item.actor, item.key);
        else
            update crm.idempotency k set response = item.answer where (k.actor, k.key) = (item.actor, item.key);
        end if;
    end loop;
end
$$;

-- Takes away some keys that have been kept long enough; never waits for anybody. Comes last in a transaction: nobody who waits for
-- such a key is waited for.
create function crm.forget_keys(days int, most int) returns void
language plpgsql as $$
begin
    delete from crm.idempotency k where k.ctid = any (array(
        select o.ctid from crm.idempotency o where o.created_at < now() - make_interval(days => forget_keys.days)
        order by o.created_at limit most
        for update skip locked));
end
$$;

-- Runs commands, {"keys": how many have an idempotency key, "keep_days": how long those are kept, "waves": [{"kind", "items"}]}, in
-- one transaction; gives the answers to all. No key comes twice. Locks are taken in one order in every transaction, so that two do not wait for each other: keys,
-- then orders, then points accounts, each sorted. The planner is told to keep its plans and to go by index: without the first it
-- would plan anew for every array that it is given, which costs more than running; without the second a plan that is kept from
-- when a table was small would read the whole of it for ever.
create function crm.run(work jsonb) returns jsonb
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    waves jsonb := work -> 'waves';
    keys int := coalesce((work ->> 'keys')::int, 0);
    wave jsonb;
    items jsonb;
    answers jsonb;
    told jsonb := '[]';
    orders uuid[] := '{}';
begin
    if keys > 0 then
        told := crm.claim_keys(jsonb_path_query_array(waves, '$[*].items[*]'));
        if told <> '[]' then
            waves := crm.without(waves, told);
        end if;
    end if;
    if jsonb_array_length(waves) > 1 then
        perform crm.lock_orders(waves);
    end if;
    for wave in select value from jsonb_array_elements(waves) loop
        items := wave -> 'items';
        continue when items = '[]';
        case wave ->> 'kind'
            when 'order' then
                answers := crm.put_orders(items);
                orders := orders || array(
                    select (a.value ->> 'id')::uuid from jsonb_array_elements(answers) a where a.value ->> 'effect' <> 'unchanged');
            when 'return' then
                answers := crm.put_returns(items);
                orders := orders || array(
                    select r.order_id from jsonb_array_elements(answers) a
                    join crm.sales_return r on r.return_id = (a.value ->> 'id')::uuid
                    where a.value ->> 'effect' <> 'unchanged');
            when 'member' then answers := crm.put_members(items);
            when 'sku' then answers := crm.put_skus(items);
            when 'product' then answers := crm.put_products(items);
            when 'store' then answers := crm.put_stores(items);
        end case;
        told := told || answers;
    end loop;
    if cardinality(orders) > 0 then
        perform crm.post_points(orders);
    end if;
    if keys > 0 then
        perform crm.settle_keys(jsonb_path_query_array(waves, '$[*].items[*]'), told);
        -- Two old ones for each new one: the table cannot grow for ever, and no transaction is long for it.
        perform crm.forget_keys((work ->> 'keep_days')::int, 2 * keys);
    end if;
    return told;
end
$$;
