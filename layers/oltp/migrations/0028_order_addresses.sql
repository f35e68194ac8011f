-- Where an order goes, and who pays for it: personal, so it stands beside the orders, stays at home, and goes when the buyer is erased.

create table crm.order_pii (
    order_id uuid primary key references crm.sales_order,
    addresses jsonb check (jsonb_typeof(addresses) = 'array' and jsonb_array_length(addresses) <= 20),
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    updated_at timestamptz not null default now()
);
comment on table crm.order_pii is 'Personal data of orders, of members and of guests. Not published.';
comment on column crm.order_pii.order_id is 'The order.';
comment on column crm.order_pii.addresses is
    'Postal addresses, by label: {label, recipient, lines, postal_code, city, region, country_code}, each label once. Null once the buyer is erased.';
comment on column crm.order_pii.source_updated_at is 'When the source changed them; an older update changes nothing.';
comment on column crm.order_pii.row_version is 'Number of the version of this row.';
comment on column crm.order_pii.updated_at is 'When it last changed.';
select crm.keep_personal('crm.order_pii');

-- They are of whom the order is of, and have no owner of their own to move.
insert into crm.owned_relation (relation, key_column, moves, parent, parent_column, place, erases, exported) values
    ('order_pii', 'order_id', false, 'sales_order', 'order_id', 2, '{addresses}', false);

-- As in migration `merges`; a table without an owner of its own stays as it is.
create or replace function crm.move_owned(merge uuid, former uuid, owner uuid, back boolean) returns void
language plpgsql as $$
declare
    r crm.owned_relation;
begin
    for r in
        select * from crm.owned_relation o
        where (o.moves or o.parent is not null)
            and exists (select from pg_attribute a where a.attrelid = to_regclass('crm.' || o.relation) and a.attname = 'member_id')
        order by o.place, o.relation
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

-- As in migration `keys`, with the addresses of orders.
create or replace function crm.is_personal(kind text) returns boolean
language sql immutable as $$
    select kind in ('member', 'order_addresses') or starts_with(kind, 'member_')
$$;

-- As in migration `run`, with the addresses of orders.
create or replace function crm.lock_orders(waves jsonb) returns void
language plpgsql as $$
begin
    perform from crm.sales_order o
    join (
        select distinct coalesce(x.value #>> '{b,order_source}', x.value #>> '{b,source}') as source,
            x.value #>> '{b,order_no}' as order_no
        from jsonb_array_elements(waves) w cross join lateral jsonb_array_elements(w.value -> 'items') x
        where w.value ->> 'kind' in ('order', 'order_redeem', 'order_addresses', 'return')) k on (k.source, k.order_no) = (o.source, o.order_no)
    order by o.source, o.order_no
    for no key update of o;
end
$$;

create function crm.do_order_addresses(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    known crm.sales_order;
    old crm.order_pii;
    put jsonb;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (source text, order_no text, addresses jsonb, source_updated_at timestamptz)
    loop
        select * into known from crm.sales_order o where (o.source, o.order_no) = (item.source, item.order_no) for no key update;
        if known.order_id is null then
            answers := answers || crm.fault(item.i, 'unknown_order', '/order_no', 'there is no order with this source and number; put the order first');
            continue;
        elsif exists (select from crm.member m where m.member_id = known.member_id and m.status = 'erased') then
            answers := answers || crm.fault(item.i, 'member_closed', '/order_no', 'the buyer of this order is erased; nothing personal is kept with it');
            continue;
        end if;
        select * into old from crm.order_pii p where p.order_id = known.order_id;
        put := crm.with_addresses(coalesce(old.addresses, '[]'), item.addresses);
        if item.source_updated_at < old.source_updated_at or (put, coalesce(item.source_updated_at, old.source_updated_at))
            is not distinct from (coalesce(old.addresses, '[]'), old.source_updated_at)
        then
            answers := answers || crm.answer(item.i, item.c, 'order_addresses', known.order_id, 'unchanged', coalesce(old.row_version, 1));
            continue;
        end if;
        insert into crm.order_pii as t (order_id, addresses, source_updated_at) values (known.order_id, put, item.source_updated_at)
        on conflict (order_id) do update set addresses = excluded.addresses,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now();
        answers := answers || crm.answer(item.i, item.c, 'order_addresses', known.order_id,
            case when old.order_id is null then 'created' else 'updated' end, coalesce(old.row_version + 1, 1));
    end loop;
    return answers;
end
$$;
