-- Commands on coupons, and what orders, time and merges do to them.

set local search_path = crm;

-- Ends uses: reservations that are `released`, or redemptions that are `rolled_back`; gives their number. The coupons are locked.
create function end_uses(ids uuid[], how text) returns bigint
language plpgsql as $$
declare
    back record;
    result bigint := 0;
begin
    for back in
        with ended as (
            update crm.coupon_redemption r set status = how, ended_at = now(), row_version = r.row_version + 1, updated_at = now()
            where r.redemption_id = any (ids) and r.status = case how when 'released' then 'reserved' else 'redeemed' end
            returning r.*
        ), coupon as (
            update crm.coupon k set uses = k.uses - e.uses, reserved = k.reserved - e.reserved,
                status = crm.coupon_status(k.status, k.uses - e.uses, k.reserved - e.reserved, k.uses_max),
                row_version = k.row_version + 1, updated_at = now()
            from (
                select coupon_id, count(*) filter (where how = 'rolled_back')::int as uses,
                    count(*) filter (where how = 'released')::int as reserved
                from ended group by coupon_id) e
            where k.coupon_id = e.coupon_id and k.uses_max is not null
        ), event as (
            insert into crm.coupon_event (type, coupon_id, definition_id, member_id, redemption_id, uses, discount_minor, currency,
                order_source, order_no)
            select how, e.coupon_id, e.definition_id, e.member_id, e.redemption_id, -1, -e.discount_minor, e.currency,
                e.order_source, e.order_no
            from ended e order by e.redemption_id
        )
        select e.definition_id, count(*) as uses, sum(e.discount_minor)::bigint as money from ended e group by e.definition_id order by 1
    loop
        perform crm.draw_allowance(back.definition_id, -back.uses, -back.money);
        result := result + back.uses;
    end loop;
    return result;
end
$$;

-- Takes uses and money from what is left of a definition's limits, or gives them back where they are negative. Gives the reason if
-- there is not so much left.
create function draw_allowance(definition uuid, many bigint, much bigint) returns text
language plpgsql as $$
declare
    free smallint;
    left_over record;
    over uuid[];
begin
    select l.part into free from crm.coupon_allowance l
    where l.definition_id = definition and (l.uses_left < many) is not true and (l.money_left < much) is not true
    order by random() limit 1 for no key update skip locked;
    if found then
        update crm.coupon_allowance l set uses_left = l.uses_left - many, money_left = l.money_left - much
        where (l.definition_id, l.part) = (definition, free);
        return null;
    end if;
    perform from crm.coupon_allowance l where l.definition_id = definition order by l.part for no key update;
    if not found then
        return null;
    end if;
    -- What reservations over time hold is free, except where somebody is at them.
    over := array(
        select r.redemption_id from crm.coupon_redemption r join crm.coupon k on k.coupon_id = r.coupon_id
        where r.definition_id = definition and r.status = 'reserved' and r.reserved_until <= now() and greatest(many, much) > 0
        limit 1000 for no key update of r, k skip locked);
    if cardinality(over) > 0 then
        perform crm.end_uses(over, 'released');
    end if;
    select sum(l.uses_left) - many as uses, sum(l.money_left) - much as money, count(*) as parts into left_over
    from crm.coupon_allowance l where l.definition_id = definition;
    if many > 0 and left_over.uses < 0 then
        return 'global_limit';
    elsif much > 0 and left_over.money < 0 then
        return 'budget_spent';
    end if;
    update crm.coupon_allowance l
    set uses_left = div(left_over.uses, left_over.parts) + case when l.part < mod(left_over.uses, left_over.parts) then 1 else 0 end,
        money_left = div(left_over.money, left_over.parts) + case when l.part < mod(left_over.money, left_over.parts) then 1 else 0 end
    where l.definition_id = definition;
    return null;
end
$$;

-- Locks coupons, and the member where rules count by members, and lets go of reservations of theirs whose time is over. For a code that
-- may be used without end nobody waits but a change of its definition and whoever voids it.
create function lock_coupons(coupons uuid[], member uuid) returns void
language plpgsql as $$
declare
    definitions uuid[];
    over uuid[];
begin
    definitions := array(select distinct k.definition_id from crm.coupon k where k.coupon_id = any (coupons) order by 1);
    perform pg_advisory_xact_lock_shared(crm.coupon_lock(d.id)) from unnest(definitions) d (id);
    perform from crm.coupon k where k.coupon_id = any (coupons) and k.uses_max is not null
    order by k.coupon_id for no key update;
    if member is not null and exists (
        select from crm.coupon_definition d
        where d.definition_id = any (definitions) and (d.first_order_only or d.per_member_limit is not null)) then
        perform pg_advisory_xact_lock(crm.coupon_lock(member));
    end if;
    over := array(
        select r.redemption_id from crm.coupon_redemption r
        where r.coupon_id = any (coupons) and r.status = 'reserved' and r.reserved_until <= now());
    if cardinality(over) > 0 then
        perform crm.end_uses(over, 'released');
    end if;
end
$$;

-- Writes what was decided: reservations until a time, or redemptions where there is none. Gives the uses, in the order of the asks.
create function write_uses(judged coupon_ask[], cart coupon_cart, reservation uuid, until timestamptz) returns jsonb
language plpgsql as $$
declare
    result jsonb;
begin
    with use as materialized (
        select a.n, coalesce(a.kept, crm.uuid7()) as id, (a.coupon).coupon_id, (a.coupon).definition_id, a.discount, a.kept_status as kept,
            a.discount - case when a.kept is null then 0 else a.kept_discount end as more,
            coalesce(cart.member_id, (a.coupon).member_id) as member_id
        from unnest(judged) a
    ), new as (
        insert into crm.coupon_redemption as t (redemption_id, coupon_id, definition_id, member_id, status, discount_minor, currency,
            order_source, order_no, order_id, reservation_id, reserved_until, redeemed_at)
        select u.id, u.coupon_id, u.definition_id, u.member_id, case when until is null then 'redeemed' else 'reserved' end,
            u.discount, cart.currency, cart.order_source, cart.order_no, cart.order_id, reservation, until,
            case when until is null then now() end
        from use u where u.kept is distinct from 'redeemed'
        on conflict (redemption_id) do update set member_id = excluded.member_id, status = excluded.status,
            discount_minor = excluded.discount_minor, currency = excluded.currency, order_source = excluded.order_source,
            order_no = excluded.order_no, order_id = excluded.order_id, reservation_id = coalesce(excluded.reservation_id, t.reservation_id),
            reserved_until = coalesce(excluded.reserved_until, t.reserved_until), redeemed_at = excluded.redeemed_at,
            row_version = t.row_version + 1, updated_at = now()
    ), coupon as (
        update crm.coupon k set uses = k.uses + n.uses, reserved = k.reserved + n.reserved,
            status = crm.coupon_status(k.status, k.uses + n.uses, k.reserved + n.reserved, k.uses_max),
            row_version = k.row_version + 1, updated_at = now()
        from (
            select u.coupon_id, case when until is null then 1 else 0 end as uses,
                case when until is null then 0 else 1 end - case when u.kept is null then 0 else 1 end as reserved
            from use u where u.kept is distinct from 'redeemed') n
        where k.coupon_id = n.coupon_id and k.uses_max is not null
    ), event as (
        insert into crm.coupon_event (type, coupon_id, definition_id, member_id, redemption_id, uses, discount_minor, currency,
            order_source, order_no)
        select case when until is null then 'redeemed' else 'reserved' end, u.coupon_id, u.definition_id, u.member_id, u.id,
            case when u.kept is null then 1 else 0 end, u.more, cart.currency, cart.order_source, cart.order_no
        from use u where u.kept is distinct from 'redeemed' order by u.n
    )
    select jsonb_agg(jsonb_build_object('redemption_id', u.id, 'discount_minor', u.discount) order by u.n) from use u
    into result;
    return result;
end
$$;

-- Takes what codes give from what is left of their definitions' limits: all or nothing. Gives the first code that there is not enough for.
create function draw_allowances(judged coupon_ask[]) returns coupon_ask
language plpgsql as $$
declare
    draw record;
    bad crm.coupon_ask;
    taken jsonb := '[]';
    why text;
begin
    for draw in
        select (a.definition).definition_id as id, min(a.n) as n, count(*) filter (where a.kept is null) as uses,
            sum(a.discount - case when a.kept is null then 0 else a.kept_discount end)::bigint as money
        from unnest(judged) a where a.kept_status is distinct from 'redeemed'
        group by 1 order by 1
    loop
        why := crm.draw_allowance(draw.id, draw.uses, draw.money);
        if why is not null then
            perform crm.draw_allowance(t.id, -t.uses, -t.money) from jsonb_to_recordset(taken) as t (id uuid, uses bigint, money bigint);
            bad.n := draw.n;
            bad.reason := why;
            return bad;
        end if;
        taken := taken || jsonb_build_object('id', draw.id, 'uses', draw.uses, 'money', draw.money);
    end loop;
    return null;
end
$$;

-- Uses codes for a cart, until a time or for good: all of them or none. `place` is where the codes stand in the command.
create function hold_coupons(i int, cart coupon_cart, asks jsonb, place text, reservation uuid, until timestamptz) returns jsonb
language plpgsql as $$
declare
    judged crm.coupon_ask[];
    bad crm.coupon_ask;
begin
    perform crm.lock_coupons(array(
        select s.coupon_id from crm.coupon_code s join jsonb_to_recordset(asks) as a (key text) on a.key = s.code_key), cart.member_id);
    judged := crm.weigh_coupons(asks, cart);
    select * into bad from unnest(judged) a
    where a.reason is not null or (until is not null and a.kept_status = 'redeemed') order by a.n limit 1;
    if bad.n is not null then
        bad.reason := coalesce(bad.reason, 'already_redeemed');
        return crm.fault(i, 'coupon_' || bad.reason, place || '/' || bad.n || '/code', crm.coupon_reason(bad.reason));
    end if;
    bad := crm.draw_allowances(judged);
    if bad.n is not null then
        return crm.fault(i, 'coupon_' || bad.reason, place || '/' || bad.n || '/code', crm.coupon_reason(bad.reason));
    end if;
    return jsonb_build_object('codes', crm.write_uses(judged, cart, reservation, until),
        'discount_minor', (select sum(a.discount) from unnest(judged) a));
end
$$;

-- Definitions, one by one. A change waits for the uses under way, and reckons anew what is left of limits.
create function do_coupon_definition(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.coupon_definition;
    ask crm.coupon_definition;
    answers jsonb := '[]';
begin
    for item in select x.i, x.c, x.id, x.b from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb) loop
        perform pg_advisory_xact_lock(crm.coupon_lock(d.definition_id))
        from crm.coupon_definition d where d.definition_code = item.b ->> 'definition_code';
        select * into old from crm.coupon_definition d where d.definition_code = item.b ->> 'definition_code' for no key update;
        ask := jsonb_populate_record(null::crm.coupon_definition, item.b);
        ask.definition_id := coalesce(old.definition_id, item.id);
        ask.source_updated_at := coalesce(ask.source_updated_at, old.source_updated_at);
        ask.row_version := coalesce(old.row_version, 1);
        ask.created_at := coalesce(old.created_at, now());
        ask.updated_at := coalesce(old.updated_at, now());
        if ask is not distinct from old or ask.source_updated_at < old.source_updated_at then
            answers := answers || crm.answer(item.i, item.c, 'coupon_definition', old.definition_id, 'unchanged', old.row_version);
        elsif (old.status = 'ended' and ask.status <> 'ended') or (old.valid_to <= now() and ask.valid_to is distinct from old.valid_to) then
            -- Its codes may have been swept: what is over stays over.
            answers := answers || crm.fault(item.i, 'coupon_definition_ended', '', 'this definition has ended; make a new one');
        elsif old.kind <> ask.kind and exists (select from crm.coupon k where k.definition_id = old.definition_id) then
            answers := answers || crm.fault(item.i, 'coupon_definition_issued', '/kind', 'codes were issued, so that their kind stays');
        else
            if old.definition_id is null then
                insert into crm.coupon_definition select ask.*;
            else
                ask.row_version := old.row_version + 1;
                ask.updated_at := now();
                perform crm.edit_definition(ask);
            end if;
            perform crm.deal_allowance(ask);
            answers := answers || crm.answer(item.i, item.c, 'coupon_definition', ask.definition_id,
                case when old.definition_id is null then 'created' else 'updated' end, ask.row_version);
        end if;
    end loop;
    return answers;
end
$$;

-- Makes a known definition what is asked for.
create function edit_definition(ask coupon_definition) returns void
language plpgsql as $$
begin
    update crm.coupon_definition d set title = ask.title, kind = ask.kind, status = ask.status, discount_type = ask.discount_type,
        percent_bp = ask.percent_bp, amount_minor = ask.amount_minor, currency = ask.currency,
        max_discount_minor = ask.max_discount_minor, min_spend_minor = ask.min_spend_minor, min_quantity = ask.min_quantity,
        valid_from = ask.valid_from, valid_to = ask.valid_to, validity_days = ask.validity_days, tier_codes = ask.tier_codes,
        members_only = ask.members_only, first_order_only = ask.first_order_only, include = ask.include, exclude = ask.exclude,
        store_codes = ask.store_codes, channels = ask.channels, stacking = ask.stacking, stack_group = ask.stack_group,
        priority = ask.priority, uses_per_code = ask.uses_per_code, per_member_limit = ask.per_member_limit,
        global_limit = ask.global_limit, budget_minor = ask.budget_minor, restore_on_return = ask.restore_on_return,
        source_updated_at = ask.source_updated_at, row_version = ask.row_version, updated_at = ask.updated_at
    where d.definition_id = ask.definition_id;
end
$$;

-- Reckons what is left of a definition's limits, if it has any. Nobody uses its codes meanwhile. Little, or less than nothing, is one part:
-- what comes back must fill what is missing first.
create function deal_allowance(d coupon_definition) returns void
language plpgsql as $$
declare
    uses bigint;
    money bigint;
    parts int;
begin
    delete from crm.coupon_allowance l where l.definition_id = d.definition_id;
    if d.global_limit is null and d.budget_minor is null then
        return;
    end if;
    select d.global_limit - count(*), d.budget_minor - coalesce(sum(r.discount_minor) filter (where r.currency = d.currency), 0)
    into uses, money
    from crm.coupon_redemption r where r.definition_id = d.definition_id and r.status in ('reserved', 'redeemed');
    parts := case when uses < 64 or money < 64 then 1 else 16 end;
    insert into crm.coupon_allowance (definition_id, part, uses_left, money_left)
    select d.definition_id, p, uses / parts + case when p < uses % parts then 1 else 0 end,
        money / parts + case when p < money % parts then 1 else 0 end
    from generate_series(0, parts - 1) p;
end
$$;

-- Issues codes: one for each of `codes` (with their `keys`), each to the member of the same place where there are `members`. A batch is
-- one transaction, so that whatever is cut off in the middle has issued nothing.
create function do_coupon_issue(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    d crm.coupon_definition;
    bad bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (definition_code text, codes text[], keys text[], members text[], given boolean,
            expires_at timestamptz)
    loop
        perform pg_advisory_xact_lock_shared(crm.coupon_lock(o.definition_id))
        from crm.coupon_definition o where o.definition_code = item.definition_code;
        select * into d from crm.coupon_definition o where o.definition_code = item.definition_code;
        if d.definition_id is null then
            answers := answers || crm.fault(item.i, 'unknown_coupon_definition', '/definition_code', 'there is no definition with this code; put it first');
            continue;
        end if;
        if d.status = 'ended' or d.valid_to <= now() then
            answers := answers || crm.fault(item.i, 'coupon_definition_ended', '/definition_code', 'this definition has ended; make a new one');
            continue;
        end if;
        if d.kind = 'public' and not item.given then
            answers := answers || crm.fault(item.i, 'coupon_public_code', '/codes', 'public codes are chosen, not generated: send them in `codes`');
            continue;
        end if;
        if item.given then
            select min(k.place) into bad from unnest(item.keys) with ordinality as k (key, place) join crm.coupon_code s on s.code_key = k.key;
            if bad is not null then
                answers := answers || crm.fault(item.i, 'coupon_code_taken', '/codes/' || (bad - 1), 'this code was issued before');
                continue;
            end if;
        end if;
        select min(n.place) into bad from unnest(item.members) with ordinality as n (member_no, place)
        where not exists (select from crm.member m where m.member_no = n.member_no and m.status not in ('merged', 'erased'));
        if bad is not null then
            answers := answers || crm.fault(item.i, 'unknown_member', '/members/' || (bad - 1), 'there is no member with this number; put the member first');
            continue;
        end if;
        insert into crm.coupon_batch (batch_id, definition_id, codes) values (item.id, d.definition_id, cardinality(item.codes));
        perform crm.issue_codes(item.id, d, item.codes, item.keys, item.members,
            least(item.expires_at, now() + make_interval(days => d.validity_days)));
        answers := answers || crm.acted(item.i, item.c, 'coupon_batch', item.id, 'created', 1,
            jsonb_build_object('batch_id', item.id, 'codes', cardinality(item.codes)));
    end loop;
    return answers;
end
$$;

create function issue_codes(batch uuid, d coupon_definition, codes text[], keys text[], members text[], ends timestamptz) returns void
language plpgsql as $$
begin
    with new as materialized (
        select crm.uuid7() as id, c.code, c.key, m.member_id
        from rows from (unnest(codes), unnest(keys), unnest(members)) as c (code, key, member_no)
        left join crm.member m on m.member_no = c.member_no
    ), code as (
        insert into crm.coupon_code (coupon_id, code, code_key) select n.id, n.code, n.key from new n
    ), event as (
        insert into crm.coupon_event (type, coupon_id, definition_id, member_id) select 'issued', n.id, d.definition_id, n.member_id from new n
    )
    insert into crm.coupon (coupon_id, definition_id, batch_id, code_hint, member_id, uses_max, expires_at)
    select n.id, d.definition_id, batch, case d.kind when 'public' then n.code else right(n.key, 4) end, n.member_id, d.uses_per_code, ends
    from new n;
end
$$;

-- What codes would give for carts. Writes nothing.
create function do_coupon_validate(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    cart crm.coupon_cart;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, x.b
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
    loop
        cart := crm.ask_cart(item.i, item.b);
        answers := answers || case when cart.fault is not null then cart.fault
            else crm.acted(item.i, item.c, 'coupon', item.id, 'unchanged', 1,
                crm.tell_coupons(crm.weigh_coupons(item.b -> 'codes', cart), cart)) end;
    end loop;
    return answers;
end
$$;

-- The order of a cart, locked; of nulls if there is none yet.
create function lock_cart_order(order_source text, order_no text) returns sales_order
language plpgsql as $$
declare
    result crm.sales_order;
begin
    select * into result from crm.sales_order o
    where (o.order_no, o.source) = (lock_cart_order.order_no, lock_cart_order.order_source) for no key update;
    return result;
end
$$;

-- Holds codes for a checkout until a time; the same again holds them longer.
create function do_coupon_reserve(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    cart crm.coupon_cart;
    held jsonb;
    until timestamptz;
    answers jsonb := '[]';
begin
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

-- Uses codes for good, for an order that is there or will come. Without a cart the order is the cart.
create function do_coupon_redeem(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    known crm.sales_order;
    cart crm.coupon_cart;
    held jsonb;
    answers jsonb := '[]';
begin
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

-- Orders together with the codes that they use: both or none.
create function do_order_redeem(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    answer jsonb;
    held jsonb;
    answers jsonb := '[]';
begin
    perform crm.lock_orders(jsonb_build_array(jsonb_build_object('kind', 'order', 'items', items)));
    if jsonb_array_length(items) > 1 then
        -- All at once: each item would lock its own, and two batches could wait for each other.
        perform crm.lock_coupons(array(
            select s.coupon_id from jsonb_path_query(items, '$[*].b.redemptions[*].key') k join crm.coupon_code s on s.code_key = k #>> '{}'), null);
    end if;
    for item in
        select x.value as whole, (x.value ->> 'i')::int as i, x.value #> '{b,redemptions}' as codes from jsonb_array_elements(items) x
    loop
        begin
            held := null;
            answer := crm.put_orders(jsonb_build_array(item.whole)) -> 0;
            if not answer ? 'fault' then
                held := crm.redeem_of_order(item.i, (answer ->> 'id')::uuid, item.codes);
                if held ? 'fault' then
                    raise exception 'a code is refused' using errcode = 'SW001';
                end if;
                answer := answer || jsonb_build_object('order_id', answer -> 'id', 'result', held);
            end if;
        exception when sqlstate 'SW001' then
            answer := held;
        end;
        answers := answers || answer;
    end loop;
    return answers;
end
$$;

-- Uses codes for an order as it stands. One that is cancelled or came back whole uses none: what it had used may be another's by now.
create function redeem_of_order(i int, id uuid, codes jsonb) returns jsonb
language plpgsql as $$
declare
    known crm.sales_order;
begin
    select * into strict known from crm.sales_order o where o.order_id = id;
    if known.status in ('cancelled', 'returned') then
        return '{"codes": [], "discount_minor": 0}';
    end if;
    return crm.hold_coupons(i, crm.cart_of_order(known), codes, '/redemptions', null, null);
end
$$;

-- Lets go of reservations.
create function do_coupon_release(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ids uuid[];
    freed bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, (x.b ->> 'reservation_id')::uuid as id from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
    loop
        ids := array(select r.redemption_id from crm.coupon_redemption r where r.reservation_id = item.id);
        if ids = '{}' then
            answers := answers || crm.fault(item.i, 'unknown_reservation', '/reservation_id', 'there is no such reservation');
            continue;
        end if;
        perform crm.lock_coupons(array(select r.coupon_id from crm.coupon_redemption r where r.redemption_id = any (ids)), null);
        freed := crm.end_uses(ids, 'released');
        answers := answers || crm.acted(item.i, item.c, 'coupon_reservation', item.id,
            case when freed > 0 then 'updated' else 'unchanged' end, 1, jsonb_build_object('released', freed));
    end loop;
    return answers;
end
$$;

-- Takes redemptions back: one, or all of an order.
create function do_coupon_rollback(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    ids uuid[];
    back bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (redemption_id uuid, order_source text, order_no text)
    loop
        perform crm.lock_cart_order(o.order_source, o.order_no) from (
            select item.order_source, item.order_no where item.order_no is not null
            union
            select r.order_source, r.order_no from crm.coupon_redemption r where r.redemption_id = item.redemption_id) o;
        ids := array(
            select r.redemption_id from crm.coupon_redemption r where r.redemption_id = item.redemption_id
            union
            select r.redemption_id from crm.coupon_redemption r where (r.order_no, r.order_source) = (item.order_no, item.order_source));
        if ids = '{}' then
            answers := answers || crm.fault(item.i, 'unknown_redemption', case when item.redemption_id is null then '/order' else '/redemption_id' end,
                'there is no such redemption');
            continue;
        end if;
        perform crm.lock_coupons(array(select r.coupon_id from crm.coupon_redemption r where r.redemption_id = any (ids)), null);
        back := crm.end_uses(ids, 'rolled_back');
        answers := answers || crm.acted(item.i, item.c, 'coupon_redemption', ids[1],
            case when back > 0 then 'updated' else 'unchanged' end, 1, jsonb_build_object('rolled_back', back));
    end loop;
    return answers;
end
$$;

-- Makes a code or a batch void. Used codes stay used; a code under reservation can no more be redeemed.
create function do_coupon_void(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    coupons uuid[];
    done bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.* from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (key text, batch_id uuid)
    loop
        coupons := array(
            select s.coupon_id from crm.coupon_code s where s.code_key = item.key
            union
            select k.coupon_id from crm.coupon k where k.batch_id = item.batch_id);
        if coupons = '{}' then
            answers := answers || crm.fault(item.i, 'coupon_unknown_code', case when item.key is null then '/batch_id' else '/code' end,
                'there is no such code or batch');
            continue;
        end if;
        -- A code without end is locked by no row: its uses under way are waited for.
        perform pg_advisory_xact_lock(crm.coupon_lock(k.definition_id))
        from (select distinct o.definition_id from crm.coupon o where o.coupon_id = any (coupons) and o.uses_max is null order by 1) k;
        perform from crm.coupon k where k.coupon_id = any (coupons) order by k.coupon_id for no key update;
        with void as (
            update crm.coupon k set status = 'void', row_version = k.row_version + 1, updated_at = now()
            where k.coupon_id = any (coupons) and k.status not in ('void', 'redeemed')
            returning k.coupon_id, k.definition_id, k.member_id
        ), event as (
            insert into crm.coupon_event (type, coupon_id, definition_id, member_id)
            select 'voided', v.coupon_id, v.definition_id, v.member_id from void v
        )
        select count(*) into done from void;
        answers := answers || crm.acted(item.i, item.c, 'coupon', case when item.key is null then item.batch_id else coupons[1] end,
            case when done > 0 then 'updated' else 'unchanged' end, 1, jsonb_build_object('voided', done));
    end loop;
    return answers;
end
$$;

-- Gives a code that is nobody's to a member.
create function do_coupon_assign(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    k crm.coupon;
    owner crm.member;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.* from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (key text, member_no text)
    loop
        select o.* into owner from crm.member m join crm.member o on o.member_id = coalesce(m.merged_into_member_id, m.member_id)
        where m.member_no = item.member_no and o.status <> 'erased';
        select o.* into k from crm.coupon o join crm.coupon_code s on s.coupon_id = o.coupon_id
        where s.code_key = item.key for no key update of o;
        if owner.member_id is null then
            answers := answers || crm.fault(item.i, 'unknown_member', '/member_no', 'there is no member with this number; put the member first');
        elsif k.coupon_id is null then
            answers := answers || crm.fault(item.i, 'coupon_unknown_code', '/code', crm.coupon_reason('unknown_code'));
        elsif k.member_id = owner.member_id then
            answers := answers || crm.acted(item.i, item.c, 'coupon', k.coupon_id, 'unchanged', k.row_version, '{}');
        elsif k.member_id is not null then
            answers := answers || crm.fault(item.i, 'coupon_other_member', '/code', crm.coupon_reason('other_member'));
        elsif k.status <> 'issued' or k.uses_max is null then
            answers := answers || crm.fault(item.i, 'coupon_not_free', '/code', 'only a unique code that is free can be given to a member');
        else
            perform crm.give_coupons(array[k.coupon_id], owner.member_id);
            answers := answers || crm.acted(item.i, item.c, 'coupon', k.coupon_id, 'updated', k.row_version + 1, '{}');
        end if;
    end loop;
    return answers;
end
$$;

-- Gives coupons an owner, or none.
create function give_coupons(coupons uuid[], owner uuid) returns void
language plpgsql as $$
begin
    with given as (
        update crm.coupon k set member_id = owner, row_version = k.row_version + 1, updated_at = now()
        where k.coupon_id = any (coupons)
        returning k.coupon_id, k.definition_id
    )
    insert into crm.coupon_event (type, coupon_id, definition_id, member_id)
    select 'assigned', g.coupon_id, g.definition_id, owner from given g;
end
$$;

-- Brings redemptions in line with their orders, whose rows are locked: they follow the order and its owner, and come back where the
-- order is cancelled or wholly returned and the definition says so. For `crm.after_orders`, before points.
create function settle_coupons(orders uuid[]) returns void
language plpgsql as $$
declare
    linked uuid[];
    back uuid[];
begin
    select array_agg(r.redemption_id) filter (where r.order_id is distinct from o.order_id or o.member_id <> r.member_id
            or (r.member_id is null and o.member_id is not null)),
        array_agg(r.redemption_id) filter (where r.status = 'redeemed' and d.restore_on_return
            and o.status in ('cancelled', 'returned'))
    into linked, back
    from crm.sales_order o
    join crm.coupon_redemption r on (r.order_no, r.order_source) = (o.order_no, o.source)
    join crm.coupon_definition d on d.definition_id = r.definition_id
    where o.order_id = any (orders);
    if linked is null and back is null then
        return;
    end if;
    perform crm.lock_coupons(array(
        select r.coupon_id from crm.coupon_redemption r where r.redemption_id = any (coalesce(back, '{}') || coalesce(linked, '{}'))), null);
    update crm.coupon_redemption r set order_id = o.order_id, member_id = coalesce(o.member_id, r.member_id),
        row_version = r.row_version + 1, updated_at = now()
    from crm.sales_order o
    where r.redemption_id = any (linked) and (o.order_no, o.source) = (r.order_no, r.order_source);
    perform crm.end_uses(back, 'rolled_back');
end
$$;

-- What time does to coupons: lets go of reservations that are over, ends coupons that expired or whose definition ended, and links
-- redemptions to orders that came at the same moment. At most so many of each; gives how many there were. No decision depends on it.
create function sweep_coupons(at timestamptz, most int) returns bigint
language plpgsql as $$
declare
    ids uuid[];
    result bigint;
    ended bigint;
begin
    -- Orders are locked before coupons.
    perform crm.settle_coupons(array(
        select o.order_id from crm.coupon_redemption r join crm.sales_order o on (o.order_no, o.source) = (r.order_no, r.order_source)
        where r.status = 'redeemed' and r.order_id is null order by o.source, o.order_no limit most for no key update of o));
    ids := array(
        select r.redemption_id from crm.coupon_redemption r
        where r.status = 'reserved' and r.reserved_until <= at order by r.reserved_until limit most);
    perform crm.lock_coupons(array(select r.coupon_id from crm.coupon_redemption r where r.redemption_id = any (ids)), null);
    -- Whoever had a lock before may have held some of them longer.
    result := crm.end_uses(array(
        select r.redemption_id from crm.coupon_redemption r where r.redemption_id = any (ids) and r.reserved_until <= at), 'released');
    with due as (
        select k.coupon_id from crm.coupon k
        where k.status = 'issued' and k.reserved = 0 and k.expires_at <= at
        union
        select k.coupon_id from crm.coupon_definition d join crm.coupon k on k.definition_id = d.definition_id
        where (d.status = 'ended' or d.valid_to <= at) and k.status = 'issued' and k.reserved = 0
        limit most
    ), mine as (
        select k.coupon_id from crm.coupon k join due using (coupon_id)
        where k.status = 'issued' and k.reserved = 0 order by k.coupon_id for no key update of k skip locked
    ), over as (
        update crm.coupon k set status = 'expired', row_version = k.row_version + 1, updated_at = now()
        from mine where k.coupon_id = mine.coupon_id
        returning k.coupon_id, k.definition_id, k.member_id
    ), event as (
        insert into crm.coupon_event (type, coupon_id, definition_id, member_id)
        select 'expired', o.coupon_id, o.definition_id, o.member_id from over o
    )
    select count(*) into ended from over;
    return result + ended;
end
$$;

-- Coupons and their uses follow a member into another, and come back. Used or not: the history of a person stays together.
create function move_coupons("from" uuid, "into" uuid, merge_id uuid) returns void
language plpgsql as $$
declare
    coupons uuid[];
begin
    coupons := array(select k.coupon_id from crm.coupon k where k.member_id = "from" order by k.coupon_id for no key update);
    perform crm.give_coupons(coupons, "into");
    with used as (
        update crm.coupon_redemption r set member_id = "into", row_version = r.row_version + 1, updated_at = now()
        where r.member_id = "from"
        returning r.redemption_id
    )
    insert into crm.coupon_move (merge_id, moved_id, from_member_id, into_member_id)
    select move_coupons.merge_id, m.id, "from", "into"
    from (select unnest(coupons) union all select u.redemption_id from used u) as m (id);
end
$$;

-- Gives back what a merge moved and what the other member still has.
create function unmove_coupons(merge_id uuid) returns void
language plpgsql as $$
declare
    home uuid;
    coupons uuid[];
begin
    select v.from_member_id into home from crm.coupon_move v where v.merge_id = unmove_coupons.merge_id limit 1;
    coupons := array(
        select k.coupon_id from crm.coupon_move v join crm.coupon k on (k.coupon_id, k.member_id) = (v.moved_id, v.into_member_id)
        where v.merge_id = unmove_coupons.merge_id order by k.coupon_id for no key update of k);
    perform crm.give_coupons(coupons, home);
    update crm.coupon_redemption r set member_id = home, row_version = r.row_version + 1, updated_at = now()
    from crm.coupon_move v
    where v.merge_id = unmove_coupons.merge_id and (r.redemption_id, r.member_id) = (v.moved_id, v.into_member_id);
    delete from crm.coupon_move v where v.merge_id = unmove_coupons.merge_id;
end
$$;
