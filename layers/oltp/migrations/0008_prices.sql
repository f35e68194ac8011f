-- What goods cost, and bundles of them. A price may not overlap another of its kind: that takes GiST indexes on plain columns, which
-- `btree_gist` gives. It comes with PostgreSQL (with the package of its contributed modules, where there is one) and needs no superuser.

create extension if not exists btree_gist with schema storewide;

create table crm.price (
    price_id uuid primary key,
    price_code text not null unique check (length(price_code) between 1 and 128),
    sku_id uuid not null references crm.sku,
    store_id uuid references crm.store,
    channel text check (channel in ('pos', 'ecom', 'marketplace')),
    scope text not null generated always as (coalesce(store_id::text, channel, 'all')) stored,
    type text not null check (type in ('regular', 'promo')),
    amount_minor bigint not null check (amount_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    valid tstzrange not null check (not isempty(valid) and lower(valid) is not null and lower_inc(valid) and not upper_inc(valid)),
    priority smallint not null default 0 check (priority between 0 and 100),
    withdrawn boolean not null default false,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (store_id is null or channel is null),
    constraint price_overlaps exclude using gist
        (sku_id with =, scope with =, type with =, currency with =, priority with =, valid with &&) where (not withdrawn)
);
comment on table crm.price is 'Prices of SKUs, each for a time and for one store, one channel or all. No two of a kind overlap.';
comment on column crm.price.price_id is 'Our id.';
comment on column crm.price.price_code is 'The caller''s code; never changes.';
comment on column crm.price.store_id is 'The store that it holds in; null is any.';
comment on column crm.price.channel is 'The channel that it holds on; null is any.';
comment on column crm.price.scope is 'Where it holds: the store, the channel, or `all`.';
comment on column crm.price.type is '`regular`, or `promo`: for a time, in place of the regular one.';
comment on column crm.price.amount_minor is 'Price of one unit, in minor units of `currency`.';
comment on column crm.price.valid is 'From when, until when; the end is excluded, and may be open.';
comment on column crm.price.priority is 'Of the prices that hold, the highest wins; 0 to 100.';
comment on column crm.price.withdrawn is 'Taken back: as if it had never been.';

create function crm.do_price(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    goods uuid;
    shop uuid;
    other text;
    span tstzrange;
    old crm.price;
    stored crm.price;
    answers jsonb := '[]';
begin
    -- Prices of a SKU come one after the other: so an overlap is seen, and told as what it is.
    perform from crm.sku s where s.sku_code = any (array(
        select x.value #>> '{b,sku_code}' from jsonb_array_elements(items) x)) order by s.sku_id for no key update;
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (price_code text, sku_code text, store_code text, channel text, type text,
            amount_minor bigint, currency text, valid_from timestamptz, valid_until timestamptz, priority smallint,
            withdrawn boolean, source_updated_at timestamptz)
    loop
        goods := (select s.sku_id from crm.sku s where s.sku_code = item.sku_code);
        shop := (select s.store_id from crm.store s where s.store_code = item.store_code);
        if goods is null then
            answers := answers || crm.fault(item.i, 'unknown_sku', '/sku_code', 'there is no SKU with this code; put the SKU first');
            continue;
        elsif item.store_code is not null and shop is null then
            answers := answers || crm.fault(item.i, 'unknown_store', '/store_code', 'there is no store with this code; put the store first');
            continue;
        end if;
        select * into old from crm.price p where p.price_code = item.price_code for no key update;
        if old.sku_id <> goods then
            answers := answers || crm.fault(item.i, 'other_sku', '/sku_code', 'this price is of another SKU');
            continue;
        elsif item.source_updated_at < old.source_updated_at then
            answers := answers || crm.answer(item.i, item.c, 'price', old.price_id, 'unchanged', old.row_version);
            continue;
        end if;
        span := tstzrange(item.valid_from, item.valid_until);
        select p.price_code into other from crm.price p
        where p.sku_id = goods and p.scope = coalesce(shop::text, item.channel, 'all') and p.type = coalesce(item.type, 'regular')
            and p.currency = item.currency and p.priority = coalesce(item.priority, 0) and p.valid && span
            and not p.withdrawn and p.price_code <> item.price_code
        order by lower(p.valid) limit 1;
        if other is not null and item.withdrawn is not true then
            answers := answers || crm.fault(item.i, 'price_overlaps', '/valid_from', 'the price ' || other
                || ' of the same kind holds at that time; end it first, or give this one another priority');
            continue;
        end if;
        insert into crm.price as t (price_id, price_code, sku_id, store_id, channel, type, amount_minor, currency, valid, priority,
            withdrawn, source_updated_at)
        values (item.id, item.price_code, goods, shop, item.channel, coalesce(item.type, 'regular'), item.amount_minor,
            item.currency, span, coalesce(item.priority, 0), coalesce(item.withdrawn, false), item.source_updated_at)
        on conflict (price_code) do update set store_id = excluded.store_id, channel = excluded.channel, type = excluded.type,
            amount_minor = excluded.amount_minor, currency = excluded.currency, valid = excluded.valid,
            priority = excluded.priority, withdrawn = excluded.withdrawn,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at), row_version = t.row_version + 1,
            updated_at = now()
        where (t.store_id, t.channel, t.type, t.amount_minor, t.currency, t.valid, t.priority, t.withdrawn, t.source_updated_at)
            is distinct from (excluded.store_id, excluded.channel, excluded.type, excluded.amount_minor, excluded.currency,
                excluded.valid, excluded.priority, excluded.withdrawn, coalesce(excluded.source_updated_at, t.source_updated_at))
        returning * into stored;
        if old.price_id is null and (stored.price_id is null or stored.row_version > 1) then
            raise exception 'made at the same time' using errcode = 'unique_violation';
        end if;
        answers := answers || crm.answer(item.i, item.c, 'price', coalesce(stored.price_id, old.price_id),
            case when stored.price_id is null then 'unchanged' when old.price_id is null then 'created' else 'updated' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;

-- The price of a SKU at a moment, in a store and on a channel, either of which may be unknown (null). Of the prices that hold, the one of the
-- highest priority wins; then a promotion over a regular price; then what is said of the store over what is said of the channel, and that
-- over what is said of all. Without any, null.
create function crm.price_at(sku uuid, store uuid, channel text, at timestamptz, currency text) returns crm.price
language plpgsql stable as $$
declare
    result crm.price;
begin
    select * into result from crm.price p
    where p.sku_id = price_at.sku and p.currency = price_at.currency and p.valid @> at and not p.withdrawn
        and p.scope = any (array['all', price_at.channel, price_at.store::text])
    order by p.priority desc, p.type = 'promo' desc, p.store_id is not null desc, p.channel is not null desc
    limit 1;
    return result;
end
$$;

-- The prices of SKUs by their codes, as `crm.price_at` finds them, else the list price; null where there is none in this currency.
create function crm.quote_prices(skus text[], store_code text, channel text, at timestamptz, currency text) returns jsonb
language plpgsql stable as $$
declare
    shop uuid := (select s.store_id from crm.store s where s.store_code = quote_prices.store_code);
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('sku_code', k.code, 'currency', quote_prices.currency,
            'amount_minor', coalesce(p.amount_minor, case s.currency when quote_prices.currency then s.list_price_minor end),
            'type', coalesce(p.type, case when s.currency = quote_prices.currency and s.list_price_minor is not null then 'list' end),
            'price_code', p.price_code, 'valid_until', upper(p.valid), 'known', s.sku_id is not null) order by k.ordinality), '[]')
        from unnest(skus) with ordinality k (code, ordinality)
        left join crm.sku s on s.sku_code = k.code
        left join lateral crm.price_at(s.sku_id, shop, quote_prices.channel, quote_prices.at, quote_prices.currency) p on true);
end
$$;

-- ---- Bundles ------------------------------------------------------------------------------------------------------------
-- One level: a bundle of bundles is written with what is in them. A change closes the rows there are and opens new ones, so that an
-- order keeps the composition that it was made with.
create table crm.bundle_component (
    bundle_sku_id uuid not null,
    component_sku_id uuid not null,
    since timestamptz not null,
    until timestamptz,
    quantity numeric(18, 4) not null check (quantity > 0),
    bundle_type text not null generated always as ('bundle') stored,
    component_type text not null generated always as ('single') stored,
    primary key (bundle_sku_id, component_sku_id, since),
    check (until > since),
    foreign key (bundle_sku_id, bundle_type) references crm.sku (sku_id, type),
    foreign key (component_sku_id, component_type) references crm.sku (sku_id, type)
);
create unique index bundle_component_now on crm.bundle_component (bundle_sku_id, component_sku_id) where until is null;
create index bundle_component_in on crm.bundle_component (component_sku_id);
comment on table crm.bundle_component is 'What bundles are made of, now and before.';
comment on column crm.bundle_component.bundle_sku_id is 'The bundle.';
comment on column crm.bundle_component.component_sku_id is 'A SKU in it, which is no bundle.';
comment on column crm.bundle_component.since is 'From when; an order has what was in the bundle when the store took the order.';
comment on column crm.bundle_component.until is 'Until when, itself excluded; null is now.';
comment on column crm.bundle_component.quantity is 'How many units of the component are in one bundle.';
comment on column crm.bundle_component.bundle_type is 'What the bundle must be.';
comment on column crm.bundle_component.component_type is 'What the component must be.';

-- Bundles, one by one. The SKU's row is locked against orders of the bundle, which hold it until they are written: so each order is
-- before the moment at which a new composition starts, or sees it.
create function crm.do_bundle(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.sku;
    fault text;
    place bigint;
    changed boolean;
    start timestamptz;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (sku_code text, components jsonb)
    loop
        select * into old from crm.sku s where s.sku_code = item.sku_code for update;
        if old.sku_id is null then
            answers := answers || crm.fault(item.i, 'unknown_sku', '/sku_code', 'there is no SKU with this code; put the SKU first');
            continue;
        end if;
        if exists (select from crm.bundle_component c where c.component_sku_id = old.sku_id)
            or exists (select from crm.inventory_level v where v.sku_id = old.sku_id) then
            answers := answers || crm.fault(item.i, 'not_a_bundle', '/sku_code',
                'this SKU is in a bundle or has stock of its own; only its components have stock');
            continue;
        end if;
        select c.place - 1, case when s.sku_id is null then 'unknown_sku' else 'nested_bundle' end into place, fault
        from rows from (jsonb_to_recordset(item.components) as (sku_code text)) with ordinality as c (sku_code, place)
        left join crm.sku s on s.sku_code = c.sku_code
        where s.sku_id is null or s.type = 'bundle' or s.sku_id = old.sku_id
        order by c.place limit 1;
        if found then
            answers := answers || crm.fault(item.i, fault, '/components/' || place || '/sku_code', case fault
                when 'unknown_sku' then 'there is no SKU with this code; put the SKU first'
                else 'a bundle is in no bundle: name what is in it instead' end);
            continue;
        end if;
        start := clock_timestamp();
        if old.type <> 'bundle' then
            update crm.sku s set type = 'bundle' where s.sku_id = old.sku_id;
        end if;
        with asked as (
            select s.sku_id, c.quantity
            from jsonb_to_recordset(item.components) as c (sku_code text, quantity numeric) join crm.sku s on s.sku_code = c.sku_code
        ), gone as (
            update crm.bundle_component t set until = start
            where t.bundle_sku_id = old.sku_id and t.until is null
                and not exists (select from asked a where (a.sku_id, a.quantity) = (t.component_sku_id, t.quantity))
            returning t.component_sku_id
        ), put as (
            insert into crm.bundle_component (bundle_sku_id, component_sku_id, since, quantity)
            select old.sku_id, a.sku_id, start, a.quantity from asked a
            where not exists (
                select from crm.bundle_component t
                where (t.bundle_sku_id, t.component_sku_id, t.quantity) = (old.sku_id, a.sku_id, a.quantity) and t.until is null)
            returning 1
        )
        select exists (select from gone) or exists (select from put) into changed;
        if changed then
            update crm.sku s set row_version = s.row_version + 1, updated_at = now() where s.sku_id = old.sku_id
            returning s.row_version into old.row_version;
        end if;
        answers := answers || crm.answer(item.i, item.c, 'bundle', old.sku_id,
            case when not changed then 'unchanged' when old.type <> 'bundle' then 'created' else 'updated' end, old.row_version);
    end loop;
    return answers;
end
$$;
