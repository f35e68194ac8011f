-- Returns, also without a receipt; refunds; exchanges. Last part of the ninth migration.

-- A return's line as asked for, against what was sold and what other returns took: `net_minor` and `tax_minor` are the line's share
-- by quantity, and what is left of it when the last piece comes back.
create type crm.return_ask as (line_no int, place bigint, order_line_id uuid, sku_id uuid, product_id uuid, quantity numeric,
    net_minor bigint, tax_minor bigint, reason text, restock boolean, fault text, pointer text, detail text);

-- Lines of an order that come back.
create function crm.ask_return(order_id uuid, return_id uuid, lines jsonb, checked boolean) returns setof crm.return_ask
language plpgsql stable as $$
begin
    return query select v.line_no, v.place, l.order_line_id, l.sku_id, l.product_id, v.quantity,
        coalesce(v.net_minor, case when v.quantity = l.quantity - g.quantity then greatest(l.net_minor - g.net, 0)
            else least(round(l.net_minor * v.quantity / nullif(l.quantity, 0))::bigint, greatest(l.net_minor - g.net, 0)) end, 0),
        coalesce(v.tax_minor, case when v.quantity = l.quantity - g.quantity then l.tax_minor - g.tax
            else round(l.tax_minor * v.quantity / nullif(l.quantity, 0))::bigint end, 0),
        v.reason, coalesce(v.restock, true), f.fault, f.pointer,
        case
            when f.fault = 'unknown_line' then 'the order has no line ' || v.line_no
            else 'of line ' || v.line_no || ' there are ' || trim_scale(greatest(l.quantity - g.quantity, 0)) || ' pieces and '
                || greatest(l.net_minor - g.net, 0) || ' minor units left to return'
        end
    from rows from (jsonb_to_recordset(lines) as (line_no int, quantity numeric, net_minor bigint, tax_minor bigint, reason text,
        restock boolean)) with ordinality as v (line_no, quantity, net_minor, tax_minor, reason, restock, place)
    left join crm.order_line l on (l.order_id, l.line_no) = (ask_return.order_id, v.line_no)
    cross join lateral (
        select coalesce(sum(rl.quantity), 0) as quantity, coalesce(sum(rl.net_minor), 0)::bigint as net,
            coalesce(sum(rl.tax_minor), 0)::bigint as tax
        from crm.return_line rl join crm.sales_return r on r.return_id = rl.return_id
        where rl.order_line_id = l.order_line_id and r.status <> 'rejected'
            and r.return_id is distinct from ask_return.return_id) g
    left join lateral (values
        (1, l.order_line_id is null or l.voided, 'unknown_line', 'line_no'),
        (2, checked and v.quantity > l.quantity - g.quantity, 'over_return', 'quantity'),
        (3, checked and v.net_minor > l.net_minor - g.net, 'over_return', 'net_minor')) f (rank, applies, fault, pointer)
        on f.applies and not exists (
            select where (f.rank > 1 and (l.order_line_id is null or l.voided))
                or (f.rank = 3 and v.quantity > l.quantity - g.quantity));
end
$$;

-- Goods that come back without a receipt: named by their SKU, with amounts of their own.
create function crm.ask_blind_return(lines jsonb) returns setof crm.return_ask
language plpgsql stable as $$
begin
    return query select v.line_no, v.place, null::uuid, k.sku_id, k.product_id, v.quantity, v.net_minor, coalesce(v.tax_minor, 0),
        v.reason, coalesce(v.restock, true), case when k.sku_id is null then 'unknown_sku' end, 'sku_code',
        'there is no SKU with this code; put the SKU first'
    from rows from (jsonb_to_recordset(lines) as (line_no int, sku_code text, quantity numeric, net_minor bigint, tax_minor bigint,
        reason text, restock boolean)) with ordinality
        as v (line_no, sku_code, quantity, net_minor, tax_minor, reason, restock, place)
    left join crm.sku k on k.sku_code = v.sku_code;
end
$$;

-- Returns, one by one; each locks its order, if it has one.
create or replace function crm.put_returns(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    sold crm.sales_order;
    shop crm.store;
    next uuid;
    owner uuid;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, x.b, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (order_source text, order_no text, store_code text, member_no text,
            exchange_order_source text, exchange_order_no text)
    loop
        shop := null; sold := null; next := null; owner := null;
        if item.store_code is not null then
            select * into shop from crm.store s where s.store_code = item.store_code;
            if shop.store_id is null then
                answers := answers || crm.fault(item.i, 'unknown_store', '/store_code', 'there is no store with this code; put the store first');
                continue;
            end if;
        end if;
        if item.order_no is not null then
            select * into sold from crm.sales_order o
            where (o.source, o.order_no) = (item.order_source, item.order_no) for no key update;
            if sold.order_id is null then
                answers := answers || crm.fault(item.i, 'unknown_order', '/order_no', 'there is no order with this source and number; put the order first');
                continue;
            end if;
        elsif item.member_no is not null then
            select coalesce(m.merged_into_member_id, m.member_id) into owner from crm.member m where m.member_no = item.member_no;
            if owner is null then
                answers := answers || crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number; put the member first');
                continue;
            end if;
        end if;
        if item.exchange_order_no is not null then
            select o.order_id into next from crm.sales_order o
            where (o.source, o.order_no) = (coalesce(item.exchange_order_source, item.order_source, item.b ->> 'source'), item.exchange_order_no);
            if next is null then
                answers := answers || crm.fault(item.i, 'unknown_order', '/exchange_order_no', 'there is no order with this source and number; put the order first');
                continue;
            end if;
        end if;
        answers := answers || crm.put_return(item.i, item.c, item.id, item.b, sold, shop, case when sold.order_id is null then owner
            else sold.member_id end, next);
    end loop;
    return answers;
end
$$;

-- One return; its order, if any, is locked.
create function crm.put_return(i int, c jsonb, id uuid, b jsonb, sold crm.sales_order, shop crm.store, owner uuid, next uuid) returns jsonb
language plpgsql as $$
declare
    old crm.sales_return;
    ask crm.sales_return;
    lines crm.return_ask[];
    bad crm.return_ask;
    wrong jsonb;
    touched bigint;
    version bigint;
begin
    ask := jsonb_populate_record(null::crm.sales_return, b - 'return_id' - 'order_id' - 'member_id' - 'store_id');
    select * into old from crm.sales_return r where (r.source, r.return_no) = (ask.source, ask.return_no) for no key update;
    if old.return_id is not null and old.order_id is distinct from sold.order_id then
        return crm.fault(i, 'other_order', '/order_no', 'this return is of another order');
    end if;
    if coalesce(ask.source_version <= old.source_version, ask.source_updated_at < old.source_updated_at) then
        return crm.answer(i, c, 'return', old.return_id, 'unchanged', old.row_version);
    end if;
    ask.status := coalesce(ask.status, 'completed');
    ask.return_id := coalesce(old.return_id, id);
    ask.currency := coalesce(sold.currency, ask.currency);
    if sold.order_id is null then
        select array_agg(l) into lines from crm.ask_blind_return(b -> 'lines') l;
    else
        select array_agg(l) into lines from crm.ask_return(sold.order_id, old.return_id, b -> 'lines', ask.status <> 'rejected') l;
    end if;
    select * into bad from unnest(lines) l where l.fault is not null order by l.place limit 1;
    if bad.fault is not null then
        return crm.fault(i, bad.fault, '/lines/' || (bad.place - 1) || '/' || bad.pointer, bad.detail);
    end if;
    wrong := crm.refund_fault(i, ask.return_id, sold.order_id, b -> 'refunds');
    if wrong is not null then
        return wrong;
    end if;
    insert into crm.sales_return as t (return_id, source, return_no, order_id, member_id, store_id, status, business_date,
        returned_at, reason, currency, units, net_minor, tax_minor, source_updated_at, source_version, exchange_order_id)
    select ask.return_id, ask.source, ask.return_no, sold.order_id, owner, shop.store_id, ask.status,
        coalesce(ask.business_date, crm.business_day(shop, ask.returned_at)), ask.returned_at,
        ask.reason, ask.currency, coalesce(sum(l.quantity), 0), coalesce(sum(l.net_minor), 0), coalesce(sum(l.tax_minor), 0),
        ask.source_updated_at, ask.source_version, next
    from unnest(lines) l
    on conflict (source, return_no) do update set member_id = excluded.member_id, store_id = excluded.store_id,
        status = excluded.status, business_date = excluded.business_date, returned_at = excluded.returned_at,
        reason = excluded.reason, currency = excluded.currency, units = excluded.units, net_minor = excluded.net_minor,
        tax_minor = excluded.tax_minor, source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
        source_version = coalesce(excluded.source_version, t.source_version), exchange_order_id = excluded.exchange_order_id,
        row_version = t.row_version + 1, updated_at = now()
    where (t.member_id, t.store_id, t.status, t.business_date, t.returned_at, t.reason, t.currency, t.units, t.net_minor,
            t.tax_minor, t.source_updated_at, t.source_version, t.exchange_order_id) is distinct from
        (excluded.member_id, excluded.store_id, excluded.status, excluded.business_date, excluded.returned_at, excluded.reason,
            excluded.currency, excluded.units, excluded.net_minor, excluded.tax_minor,
            coalesce(excluded.source_updated_at, t.source_updated_at), coalesce(excluded.source_version, t.source_version),
            excluded.exchange_order_id)
    returning t.row_version into version;
    if old.return_id is null and version is distinct from 1 then
        -- The same number was taken at the same moment for another order, whose row this transaction has not locked.
        raise exception 'made at the same time' using errcode = 'unique_violation';
    end if;
    touched := crm.edit_return_lines(ask.return_id, owner, lines, b -> 'ids')
        + crm.edit_refunds(ask.return_id, sold.order_id, owner, ask.currency, b -> 'refunds', b -> 'refund_ids');
    if version is null and touched > 0 then
        update crm.sales_return r set row_version = r.row_version + 1, updated_at = now()
        where r.return_id = ask.return_id returning r.row_version into version;
    end if;
    if version is not null and sold.order_id is not null then
        perform crm.order_gave_back(sold, ask, old, next);
    end if;
    return crm.answer(i, c, 'return', ask.return_id,
        case when version is null then 'unchanged' when old.return_id is null then 'created' else 'updated' end,
        coalesce(version, old.row_version));
end
$$;

-- What a new or changed return does to its order, and the events of it.
create function crm.order_gave_back(sold crm.sales_order, ask crm.sales_return, old crm.sales_return, next uuid) returns void
language plpgsql as $$
declare
    settled crm.sales_order := crm.settle_order(sold.order_id);
    refunded bigint := (select sum(f.amount_minor) from crm.refund f where f.return_id = ask.return_id and f.status = 'completed');
    told bigint := (select sum(e.amount_minor) from crm.order_event e
        where e.order_id = sold.order_id and e.return_id = ask.return_id and e.type = 'refunded');
begin
    -- Where only money went back, that is all there is to tell.
    if settled.status <> sold.status or next is distinct from old.exchange_order_id or (
        select (r.status, r.units, r.net_minor) is distinct from (old.status, old.units, old.net_minor) and (r.units > 0 or old.units > 0)
        from crm.sales_return r where r.return_id = ask.return_id)
    then
        perform crm.order_happened(settled, case when ask.status = 'completed' and next is not null then 'exchanged'
            when ask.status = 'completed' then 'returned' else 'edited' end, sold.status, ask.return_id,
            (select r.net_minor + r.tax_minor from crm.sales_return r where r.return_id = ask.return_id), ask.source, ask.returned_at);
    end if;
    if coalesce(refunded, 0) <> coalesce(told, 0) then
        perform crm.order_happened(settled, 'refunded', sold.status, ask.return_id, coalesce(refunded, 0) - coalesce(told, 0),
            ask.source, ask.returned_at);
    end if;
end
$$;

-- What is wrong with refunds: an unknown payment, or more than was taken.
create function crm.refund_fault(i int, return_id uuid, order_id uuid, refunds jsonb) returns jsonb
language plpgsql stable as $$
declare
    bad record;
    total record;
begin
    if order_id is null then
        return null;
    end if;
    select r.place, r.payment_no, p.payment_id is null as unknown, p.amount_minor - coalesce(f.given, 0) as rest into bad
    from (
        select v.payment_no, min(v.place) as place, sum(v.amount_minor) filter (where coalesce(v.status, 'completed') in ('pending', 'completed')) as amount_minor
        from rows from (jsonb_to_recordset(refunds) as (payment_no int, amount_minor bigint, status text)) with ordinality
            as v (payment_no, amount_minor, status, place)
        where v.payment_no is not null group by v.payment_no) r
    left join crm.payment p on (p.order_id, p.payment_no, p.status) = (refund_fault.order_id, r.payment_no, 'captured')
    left join lateral (
        select sum(f.amount_minor) as given from crm.refund f
        where f.order_id = refund_fault.order_id and f.payment_no = r.payment_no and f.return_id <> refund_fault.return_id
            and f.status in ('pending', 'completed')) f on true
    where p.payment_id is null or r.amount_minor > p.amount_minor - coalesce(f.given, 0)
    order by r.place limit 1;
    if bad.place is not null then
        return case
            when bad.unknown then crm.fault(i, 'unknown_payment', '/refunds/' || (bad.place - 1) || '/payment_no',
                'the order has no captured payment ' || bad.payment_no)
            else crm.fault(i, 'over_refund', '/refunds/' || (bad.place - 1) || '/amount_minor',
                'of payment ' || bad.payment_no || ' there are ' || greatest(bad.rest, 0) || ' minor units left to refund')
        end;
    end if;
    -- All tenders together give back no more than all took.
    select coalesce(sum(p.amount_minor), 0)::bigint as taken, count(*) as payments into total
    from crm.payment p where p.order_id = refund_fault.order_id and p.status = 'captured';
    total.taken := total.taken - (select o.change_minor from crm.sales_order o where o.order_id = refund_fault.order_id)
        - coalesce((select sum(f.amount_minor) from crm.refund f where f.order_id = refund_fault.order_id
            and f.return_id <> refund_fault.return_id and f.status in ('pending', 'completed')), 0);
    if total.payments > 0 and total.taken < (
        select sum(v.amount_minor) from jsonb_to_recordset(refunds) as v (amount_minor bigint, status text)
        where coalesce(v.status, 'completed') in ('pending', 'completed'))
    then
        return crm.fault(i, 'over_refund', '/refunds', 'of the order there are ' || greatest(total.taken, 0) || ' minor units left to refund');
    end if;
    return null;
end
$$;

-- Makes a return's lines what is asked for; gives the number of rows touched. Lines that are gone are kept with nothing in them.
create function crm.edit_return_lines(return_id uuid, owner uuid, lines crm.return_ask[], ids jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.return_line as t (return_line_id, return_id, line_no, order_line_id, sku_id, product_id, member_id, quantity,
            net_minor, tax_minor, reason, restock)
        select (ids ->> (n.place - 1)::int)::uuid, edit_return_lines.return_id, n.line_no, n.order_line_id, n.sku_id, n.product_id,
            owner, n.quantity, n.net_minor, n.tax_minor, n.reason, n.restock
        from unnest(lines) n
        on conflict on constraint return_line_return_id_line_no_key do update set order_line_id = excluded.order_line_id,
            sku_id = excluded.sku_id, product_id = excluded.product_id, member_id = excluded.member_id,
            quantity = excluded.quantity, net_minor = excluded.net_minor, tax_minor = excluded.tax_minor, reason = excluded.reason,
            restock = excluded.restock
        where (t.order_line_id, t.sku_id, t.product_id, t.member_id, t.quantity, t.net_minor, t.tax_minor, t.reason, t.restock)
            is distinct from (excluded.order_line_id, excluded.sku_id, excluded.product_id, excluded.member_id, excluded.quantity,
            excluded.net_minor, excluded.tax_minor, excluded.reason, excluded.restock)
        returning 1
    ), gone as (
        update crm.return_line t set quantity = 0, net_minor = 0, tax_minor = 0
        where t.return_id = edit_return_lines.return_id and t.quantity > 0
            and not exists (select from unnest(lines) n where n.line_no = t.line_no)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- Makes a return's refunds what is asked for; gives the number of rows touched. Refunds that are gone are kept as voided.
create function crm.edit_refunds(return_id uuid, order_id uuid, owner uuid, currency text, refunds jsonb, ids jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.refund as t (refund_id, return_id, refund_no, order_id, member_id, payment_no, tender_type, amount_minor,
            currency, status, processor_ref, refunded_at)
        select (ids ->> (v.place - 1)::int)::uuid, edit_refunds.return_id, v.refund_no, edit_refunds.order_id, owner, v.payment_no,
            v.tender_type, v.amount_minor, edit_refunds.currency, coalesce(v.status, 'completed'), v.processor_ref, v.refunded_at
        from rows from (jsonb_to_recordset(refunds) as (refund_no int, payment_no int, tender_type text, amount_minor bigint,
            status text, processor_ref text, refunded_at timestamptz)) with ordinality
            as v (refund_no, payment_no, tender_type, amount_minor, status, processor_ref, refunded_at, place)
        on conflict on constraint refund_return_id_refund_no_key do update set member_id = excluded.member_id,
            payment_no = excluded.payment_no, tender_type = excluded.tender_type, amount_minor = excluded.amount_minor,
            currency = excluded.currency, status = excluded.status, processor_ref = excluded.processor_ref,
            refunded_at = excluded.refunded_at
        where (t.member_id, t.payment_no, t.tender_type, t.amount_minor, t.currency, t.status, t.processor_ref, t.refunded_at)
            is distinct from (excluded.member_id, excluded.payment_no, excluded.tender_type, excluded.amount_minor,
            excluded.currency, excluded.status, excluded.processor_ref, excluded.refunded_at)
        returning 1
    ), gone as (
        update crm.refund t set status = 'voided', amount_minor = 0
        where t.return_id = edit_refunds.return_id and (t.status, t.amount_minor) is distinct from ('voided', 0::bigint)
            and not exists (select from jsonb_to_recordset(refunds) as n (refund_no int) where n.refund_no = t.refund_no)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- ---- What it all means ------------------------------------------------------------------------------------------------
comment on table crm.order_event is 'What happened to orders: one row for each change that a command made, in partitions by month. Only grows.';
comment on column crm.order_event.event_id is 'Time-ordered id.';
comment on column crm.order_event.order_id is 'The order.';
comment on column crm.order_event.member_id is 'Its owner at that time.';
comment on column crm.order_event.type is 'created, edited, status_changed, returned, exchanged or refunded.';
comment on column crm.order_event.status is 'Status after the change.';
comment on column crm.order_event.payment_status is 'Payment status after the change.';
comment on column crm.order_event.fulfilment_status is 'Fulfilment status after the change.';
comment on column crm.order_event.from_status is 'Status before, where the change changed it.';
comment on column crm.order_event.return_id is 'The return that did it, if one did.';
comment on column crm.order_event.amount_minor is 'What came back or was refunded more than before, with tax, in minor units of the order''s currency.';
comment on column crm.order_event.source is 'System that said so.';
comment on column crm.order_event.occurred_at is 'When it happened, as far as its source says.';
comment on column crm.order_event.recorded_at is 'When the store took it.';
comment on table crm.refund is 'Money of a return that goes back to a tender. Put whole with its return.';
comment on column crm.refund.refund_id is 'Id.';
comment on column crm.refund.return_id is 'The return that it belongs to.';
comment on column crm.refund.refund_no is 'Number within the return, from 1.';
comment on column crm.refund.order_id is 'The return''s order; null without a receipt.';
comment on column crm.refund.member_id is 'Owner: that of the return.';
comment on column crm.refund.payment_no is 'Number of the order''s payment that it goes back to; null if it goes elsewhere, such as to a new gift card.';
comment on column crm.refund.tender_type is 'cash, card, gift_card, points, wallet, bnpl or other.';
comment on column crm.refund.amount_minor is 'Amount in minor units, not negative.';
comment on column crm.refund.currency is 'ISO 4217 code.';
comment on column crm.refund.status is 'pending, completed, failed or voided; only pending and completed ones count against what was taken.';
comment on column crm.refund.processor_ref is 'The processor''s reference.';
comment on column crm.refund.refunded_at is 'When the money went back.';
comment on column crm.sales_order.status is 'What the order is now: what its source says, or returned when all goods came back.';
comment on column crm.sales_order.source_status is 'What its source last said: pending, paid, partially_fulfilled, fulfilled, cancelled or returned.';
comment on column crm.sales_order.payment_status is 'Computed: unpaid, partially_paid, paid, partially_refunded or refunded.';
comment on column crm.sales_order.fulfilment_status is 'Computed: unfulfilled, partially_fulfilled, fulfilled, partially_returned or returned.';
comment on column crm.sales_order.tax_included is 'Whether gross and discount amounts include tax; net amounts never do.';
comment on column crm.sales_order.order_discount_minor is 'Discount on the order as a whole, in minor units; allocated to the lines and part of their discounts.';
comment on column crm.sales_order.order_tax_minor is 'Tax on the order as a whole, in minor units; allocated to the lines and part of their taxes.';
comment on column crm.sales_order.change_minor is 'What was given back at the till of what was paid, in minor units.';
comment on column crm.sales_order.source_version is 'Version of the source: the newer wins, an equal one changes nothing.';
comment on column crm.order_line.line_type is 'sale, fee, gift_card or shipping; units of an order are those of sale and gift_card.';
comment on column crm.order_line.tax_included is 'As on its order.';
comment on column crm.order_line.order_discount_minor is 'The line''s share of the order''s discount, within discount_minor, in minor units.';
comment on column crm.order_line.fulfilled_quantity is 'How much of it was handed over; null where the source does not say.';
comment on column crm.order_line.sku_id is 'The SKU; each line of type sale has one.';
comment on column crm.sales_return.order_id is 'The order that the goods came from; null without a receipt.';
comment on column crm.sales_return.exchange_order_id is 'The order that replaces what came back.';
comment on column crm.sales_return.source_version is 'As on orders.';
comment on column crm.return_line.line_no is 'Number of the order''s line; without a receipt, number within the return.';
comment on column crm.return_line.order_line_id is 'The order''s line; null without a receipt.';
comment on column crm.return_line.sku_id is 'What came back.';
comment on column crm.return_line.product_id is 'Its product.';
comment on column crm.return_line.reason is 'Why this line came back.';
comment on column crm.return_line.restock is 'Whether the goods can be sold again.';
