-- How commands are run, for all kinds: those of the first migrations by functions of their names, every other kind `x` by
-- `crm.do_x(items jsonb) returns jsonb`, which takes items and gives answers as those do.

-- The answer to an action: as `crm.answer`, with what the action found or made.
create function crm.acted(i int, c jsonb, entity text, id uuid, effect text, row_version bigint, result jsonb) returns jsonb
language plpgsql as $$
begin
    return crm.answer(i, c, entity, id, effect, row_version) || jsonb_build_object('result', result);
end
$$;

-- What follows from orders that were made or changed, or whose returns were: once for all commands of a transaction. The rows
-- of the orders are locked.
create function crm.after_orders(orders uuid[]) returns void
language plpgsql as $$
begin
    perform crm.settle_coupons(orders);
    perform crm.move_stock_of_orders(orders);
    perform crm.post_points(orders);
    perform crm.follow_owners(orders);
end
$$;

-- Locks the known orders that any of the waves is about.
create or replace function crm.lock_orders(waves jsonb) returns void
language plpgsql as $$
begin
    perform from crm.sales_order o
    join (
        select distinct coalesce(x.value #>> '{b,order_source}', x.value #>> '{b,source}') as source,
            x.value #>> '{b,order_no}' as order_no
        from jsonb_array_elements(waves) w cross join lateral jsonb_array_elements(w.value -> 'items') x
        where w.value ->> 'kind' in ('order', 'order_redeem', 'return')) k on (k.source, k.order_no) = (o.source, o.order_no)
    order by o.source, o.order_no
    for no key update of o;
end
$$;

create or replace function crm.run(work jsonb) returns jsonb
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
    blind uuid[] := '{}';
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
        if work ? 'conditional' then
            answers := crm.outdated(wave ->> 'kind', items);
            if answers <> '[]' then
                told := told || answers;
                items := crm.without(jsonb_build_array(wave), answers) #> '{0,items}';
                continue when items = '[]';
            end if;
        end if;
        if crm.is_personal(wave ->> 'kind') then
            -- Until the transaction ends: see migration `keys`.
            perform set_config('storewide.pii', 'on', true);
        end if;
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
                    where a.value ->> 'effect' <> 'unchanged' and r.order_id is not null);
                -- Without a receipt there is no order that they would go with.
                blind := blind || array(
                    select r.return_id from jsonb_array_elements(answers) a
                    join crm.sales_return r on r.return_id = (a.value ->> 'id')::uuid
                    where a.value ->> 'effect' <> 'unchanged' and r.order_id is null);
            when 'member' then answers := crm.put_members(items);
            when 'sku' then answers := crm.put_skus(items);
            when 'product' then answers := crm.put_products(items);
            when 'store' then answers := crm.put_stores(items);
            else
                -- The names of kinds are the program's own.
                execute format('select crm.%I($1)', 'do_' || (wave ->> 'kind')) into answers using items;
                -- An action that wrote an order says so.
                orders := orders || array(
                    select (a.value ->> 'order_id')::uuid from jsonb_array_elements(answers) a where a.value ? 'order_id');
        end case;
        told := told || answers;
    end loop;
    if cardinality(orders) > 0 then
        perform crm.after_orders(orders);
    end if;
    if cardinality(blind) > 0 then
        perform crm.move_stock('{}', blind);
    end if;
    if keys > 0 then
        perform crm.settle_keys(jsonb_path_query_array(waves, '$[*].items[*]'), told);
        -- Two old ones for each new one: the table cannot grow for ever, and no transaction is long for it.
        perform crm.forget_keys((work ->> 'keep_days')::int, 2 * keys);
    end if;
    return told;
end
$$;
