-- What is sold, and where: brands, the tree of categories, SKUs with their GTINs, and the calendar of stores.

create table crm.brand (
    brand_id uuid primary key,
    brand_code text not null unique check (length(brand_code) between 1 and 128),
    name text not null,
    active boolean not null default true,
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table crm.brand is 'Brands: what products are sold under.';
comment on column crm.brand.brand_id is 'Our id.';
comment on column crm.brand.brand_code is 'The caller''s code; never changes.';
comment on column crm.brand.name is 'Name; repeated in `product.brand` of its products.';
comment on column crm.brand.active is 'Whether it is carried now.';

-- The path is that of the parent and the own code. The foreign key carries a move down to all that is below, so that no path can be
-- wrong; in a circle it would grow without end, and the limit of its length refuses that. (It is no generated column: those do not travel.)
create table crm.category (
    category_id uuid primary key,
    category_code text not null unique check (length(category_code) between 1 and 128),
    name text not null,
    parent_id uuid,
    parent_path text[],
    path text[] not null,
    active boolean not null default true,
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (category_id, path),
    constraint category_parent foreign key (parent_id, parent_path) references crm.category (category_id, path)
        match full on update cascade,
    constraint category_path check (path = coalesce(parent_path, '{}') || category_code and cardinality(path) <= 16)
);
create index category_children on crm.category (parent_id);
create index category_below on crm.category using gin (path);
comment on table crm.category is 'The tree of categories.';
comment on column crm.category.category_id is 'Our id.';
comment on column crm.category.category_code is 'The caller''s code; never changes.';
comment on column crm.category.name is 'Name; repeated in `product.category`, that of a root in `product.department`.';
comment on column crm.category.parent_id is 'The category that this one is in; null is a root.';
comment on column crm.category.parent_path is 'Path of the parent; kept by the foreign key.';
comment on column crm.category.path is 'Codes from the root to this category, both included; at most 16.';
comment on column crm.category.active is 'Whether it is in use.';
comment on column crm.category.row_version is 'Counts changes from 1, moves of what is above included.';

create function crm.category_path() returns trigger
language plpgsql as $$
begin
    new.path := coalesce(new.parent_path, '{}') || new.category_code;
    if tg_op = 'UPDATE' and new.row_version = old.row_version then
        -- A move of what is above comes through the foreign key.
        new.row_version := old.row_version + 1;
        new.updated_at := now();
    end if;
    return new;
end
$$;
create trigger category_path before insert or update of parent_path, path on crm.category
    for each row execute function crm.category_path();
-- Attributes may be large: an update that leaves them as they are would not carry them.
alter table crm.brand replica identity full;
alter table crm.category replica identity full;
alter table crm.sku replica identity full;

-- The texts `brand`, `department` and `category` are what reports group by. With a code they are the names of the brand, of the root
-- above the category and of the category, and follow them; without one they are what the caller says.
alter table crm.product
    add column brand_id uuid references crm.brand,
    add column category_id uuid references crm.category,
    add column season text,
    add column merchandise_hierarchy text[] not null default '{}' check (cardinality(merchandise_hierarchy) <= 8);
create index product_brand on crm.product (brand_id);
create index product_category on crm.product (category_id);
comment on column crm.product.brand is 'Name of the brand; follows `brand_id` where that is set.';
comment on column crm.product.department is 'Name of the department; with a `category_id`, of the root above it.';
comment on column crm.product.category is 'Name of the category; follows `category_id` where that is set.';
comment on column crm.product.brand_id is 'The brand, where the caller named one by its code.';
comment on column crm.product.category_id is 'The category, where the caller named one by its code.';
comment on column crm.product.season is 'Season, such as `2026-SS`.';
comment on column crm.product.merchandise_hierarchy is 'Names of the merchandise hierarchy from the widest, such as department, class, subclass.';

alter table crm.sku
    add column type text not null default 'single' check (type in ('single', 'bundle')),
    add column variant_attributes jsonb not null default '{}',
    add column cost_minor bigint check (cost_minor >= 0),
    add column tax_class text,
    add unique (sku_id, type),
    add check (cost_minor is null or currency is not null);
comment on column crm.sku.type is '`single`, or `bundle`: sold as one, made of other SKUs.';
comment on column crm.sku.variant_attributes is 'What tells it from the other SKUs of its product, such as size and colour.';
comment on column crm.sku.cost_minor is 'What one unit costs the seller, in minor units of `currency`.';
comment on column crm.sku.tax_class is 'Tax class, by the caller''s name.';
comment on column crm.sku.gtin14 is 'The GTIN that it is known by, as 14 digits; all of them are in `sku_gtin`.';

create table crm.sku_gtin (
    sku_id uuid not null references crm.sku,
    gtin14 text not null check (gtin14 ~ '^[0-9]{14}$'),
    is_global boolean not null,
    primary key (sku_id, gtin14)
);
create unique index sku_gtin_once on crm.sku_gtin (gtin14) where is_global;
create index sku_gtin_restricted on crm.sku_gtin (gtin14) where not is_global;
comment on table crm.sku_gtin is 'All GTINs of SKUs: of each pack and of earlier packs. One that is a global id belongs to one SKU.';
comment on column crm.sku_gtin.gtin14 is 'The GTIN, with zeros in front to 14 digits.';
comment on column crm.sku_gtin.is_global is 'False for numbers of restricted circulation (weighed goods, numbers of a house, PLU codes with zeros in front), which mean something else elsewhere.';

alter table crm.store
    add column gln text check (gln ~ '^[0-9]{13}$'),
    add column opened_on date,
    add column closed_on date,
    add column day_starts_at time not null default '00:00' check (day_starts_at < '12:00'),
    add column allow_negative_stock boolean not null default false,
    add check (closed_on >= opened_on);
create unique index store_gln on crm.store (gln);
comment on column crm.store.gln is 'GS1 Global Location Number, 13 digits.';
comment on column crm.store.opened_on is 'First day.';
comment on column crm.store.closed_on is 'Last day.';
comment on column crm.store.day_starts_at is 'When its business day starts, in its time zone: what is sold before belongs to the day before. Before noon.';
comment on column crm.store.allow_negative_stock is 'Whether more may be promised, sent or written off than the store''s books say is there.';

create table crm.store_hours (
    store_id uuid not null references crm.store,
    weekday smallint not null check (weekday between 1 and 7),
    opens time not null,
    closes time not null,
    primary key (store_id, weekday, opens)
);
comment on table crm.store_hours is 'When stores are open in an ordinary week; several spans a day are several rows.';
comment on column crm.store_hours.weekday is 'Day of the week by ISO 8601: 1 is Monday.';
comment on column crm.store_hours.opens is 'From when, in the store''s time zone.';
comment on column crm.store_hours.closes is 'Until when; on the next day if it is not after `opens`.';

create table crm.store_day (
    store_id uuid not null references crm.store,
    day date not null,
    opens time,
    closes time,
    name text,
    primary key (store_id, day),
    check ((opens is null) = (closes is null))
);
comment on table crm.store_day is 'Days on which a store is closed, or open at other hours than on the weekday.';
comment on column crm.store_day.day is 'The day.';
comment on column crm.store_day.opens is 'From when; null is closed.';
comment on column crm.store_day.closes is 'Until when; on the next day if it is not after `opens`.';
comment on column crm.store_day.name is 'Why, such as the name of the holiday.';

insert into crm.sku_gtin (sku_id, gtin14, is_global)
select distinct on (s.gtin14) s.sku_id, s.gtin14, s.gtin14 !~ '^(000000[02]|.(02|04|2|98[123]|99))'
from crm.sku s where s.gtin14 is not null
order by s.gtin14, s.created_at;

-- ---- Stores -------------------------------------------------------------------------------------------------------------
-- The business day of a moment in a store; a store that is not there has days of UTC.
create function crm.business_day(shop crm.store, at timestamptz) returns date
language sql stable parallel safe as $$
    select ((at at time zone coalesce(shop.timezone, 'UTC')) - coalesce(shop.day_starts_at, '00:00')::interval)::date
$$;

-- Whether a store is open at a moment: by the hours of the day, or of the day before where those reach past midnight. A store without hours is
-- never open.
create function crm.store_open(shop crm.store, at timestamptz) returns boolean
language plpgsql stable as $$
declare
    here timestamp := at at time zone shop.timezone;
begin
    return exists (
        select from (values (here::date), (here::date - 1)) d (day)
        left join crm.store_day x on (x.store_id, x.day) = (shop.store_id, d.day)
        left join crm.store_hours h
            on x.day is null and (h.store_id, h.weekday) = (shop.store_id, extract(isodow from d.day)::smallint)
        cross join lateral (select coalesce(x.opens, h.opens) as opens, coalesce(x.closes, h.closes) as closes) s
        where (shop.opened_on > d.day or shop.closed_on < d.day) is not true
            and here >= d.day + s.opens
            and here < d.day + s.closes + case when s.closes <= s.opens then interval '1 day' else interval '0' end);
end
$$;

-- Makes a store's calendar what is asked for; gives the number of rows touched.
create function crm.put_calendar(store uuid, hours jsonb, days jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with asked as (
        select h.weekday, h.opens, h.closes from jsonb_to_recordset(hours) as h (weekday smallint, opens time, closes time)
    ), gone as (
        delete from crm.store_hours h
        where h.store_id = store and not exists (select from asked a where (a.weekday, a.opens) = (h.weekday, h.opens))
        returning 1
    ), put as (
        insert into crm.store_hours as t (store_id, weekday, opens, closes)
        select store, a.weekday, a.opens, a.closes from asked a
        on conflict (store_id, weekday, opens) do update set closes = excluded.closes where t.closes <> excluded.closes
        returning 1
    ), asked_days as (
        select d.day, d.opens, d.closes, d.name from jsonb_to_recordset(days) as d (day date, opens time, closes time, name text)
    ), gone_days as (
        delete from crm.store_day d
        where d.store_id = store and not exists (select from asked_days a where a.day = d.day)
        returning 1
    ), put_days as (
        insert into crm.store_day as t (store_id, day, opens, closes, name)
        select store, a.day, a.opens, a.closes, a.name from asked_days a
        on conflict (store_id, day) do update set opens = excluded.opens, closes = excluded.closes, name = excluded.name
        where (t.opens, t.closes, t.name) is distinct from (excluded.opens, excluded.closes, excluded.name)
        returning 1
    )
    select (select count(*) from gone) + (select count(*) from put) + (select count(*) from gone_days) + (select count(*) from put_days)
    into result;
    return result;
end
$$;

create or replace function crm.put_stores(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.store;
    stored crm.store;
    touched bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (store_code text, name text, type text, timezone text, country_code text,
            region text, gln text, opened_on date, closed_on date, day_starts_at time, allow_negative_stock boolean, hours jsonb,
            exceptions jsonb, attributes jsonb, source_updated_at timestamptz)
    loop
        begin
            perform now() at time zone coalesce(item.timezone, 'UTC');
        exception when invalid_parameter_value then
            answers := answers || crm.fault(item.i, 'unknown_timezone', '/timezone', 'the store does not know this time zone');
            continue;
        end;
        if exists (select from crm.store s where s.gln = item.gln and s.store_code <> item.store_code) then
            answers := answers || crm.fault(item.i, 'gln_taken', '/gln', 'another store has this GLN');
            continue;
        end if;
        select * into old from crm.store s where s.store_code = item.store_code for no key update;
        if item.source_updated_at < old.source_updated_at then
            answers := answers || crm.answer(item.i, item.c, 'store', old.store_id, 'unchanged', old.row_version);
            continue;
        end if;
        insert into crm.store as t (store_id, store_code, name, type, timezone, country_code, region, gln, opened_on, closed_on,
            day_starts_at, allow_negative_stock, attributes, source_updated_at)
        values (item.id, item.store_code, item.name, coalesce(item.type, 'physical'), coalesce(item.timezone, 'UTC'),
            item.country_code, item.region, item.gln, item.opened_on, item.closed_on, coalesce(item.day_starts_at, '00:00'),
            coalesce(item.allow_negative_stock, false), coalesce(item.attributes, '{}'), item.source_updated_at)
        on conflict (store_code) do update set name = excluded.name, type = excluded.type, timezone = excluded.timezone,
            country_code = excluded.country_code, region = excluded.region, gln = excluded.gln, opened_on = excluded.opened_on,
            closed_on = excluded.closed_on, day_starts_at = excluded.day_starts_at,
            allow_negative_stock = excluded.allow_negative_stock, attributes = excluded.attributes,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (t.name, t.type, t.timezone, t.country_code, t.region, t.gln, t.opened_on, t.closed_on, t.day_starts_at,
                t.allow_negative_stock, t.attributes, t.source_updated_at) is distinct from
            (excluded.name, excluded.type, excluded.timezone, excluded.country_code, excluded.region, excluded.gln,
                excluded.opened_on, excluded.closed_on, excluded.day_starts_at, excluded.allow_negative_stock,
                excluded.attributes, coalesce(excluded.source_updated_at, t.source_updated_at))
        returning * into stored;
        if old.store_id is null and (stored.store_id is null or stored.row_version > 1) then
            raise exception 'made at the same time' using errcode = 'unique_violation';
        end if;
        touched := crm.put_calendar(coalesce(stored.store_id, old.store_id), coalesce(item.hours, '[]'), coalesce(item.exceptions, '[]'));
        if stored.store_id is null and touched > 0 then
            update crm.store s set row_version = s.row_version + 1, updated_at = now() where s.store_id = old.store_id
            returning * into stored;
        end if;
        answers := answers || crm.answer(item.i, item.c, 'store', coalesce(stored.store_id, old.store_id),
            case when stored.store_id is null then 'unchanged' when old.store_id is null then 'created' else 'updated' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;

-- ---- Brands and categories ----------------------------------------------------------------------------------------------
-- Brings the texts of products to the names of what they are of; each is changed only where it differs.
create function crm.name_products(brands uuid[], categories uuid[]) returns void
language plpgsql as $$
begin
    update crm.product p set brand = n.brand, category = n.category, department = n.department, row_version = p.row_version + 1,
        updated_at = now()
    from (
        select q.product_id, coalesce(b.name, q.brand) as brand, coalesce(c.name, q.category) as category,
            coalesce(r.name, q.department) as department
        from crm.product q
        left join crm.brand b on b.brand_id = q.brand_id
        left join crm.category c on c.category_id = q.category_id
        left join crm.category r on r.category_code = c.path[1]
        where q.product_id = any (array(
            select product_id from crm.product where brand_id = any (brands)
            union
            select product_id from crm.product where category_id = any (categories)))
        order by q.product_id
        for no key update of q) n
    where p.product_id = n.product_id
        and (p.brand, p.category, p.department) is distinct from (n.brand, n.category, n.department);
end
$$;

create function crm.do_brand(items jsonb) returns jsonb
language plpgsql as $$
declare
    touched jsonb;
    renamed uuid[];
    told crm.told[];
begin
    with put as (
        insert into crm.brand as t (brand_id, brand_code, name, active, attributes, source_updated_at)
        select x.id, b.brand_code, b.name, coalesce(b.active, true), coalesce(b.attributes, '{}'), b.source_updated_at
        from jsonb_to_recordset(items) as x (id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (brand_code text, name text, active boolean, attributes jsonb,
            source_updated_at timestamptz)
        on conflict (brand_code) do update set name = excluded.name, active = excluded.active, attributes = excluded.attributes,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.name, t.active, t.attributes, t.source_updated_at) is distinct from (excluded.name, excluded.active,
                excluded.attributes, coalesce(excluded.source_updated_at, t.source_updated_at))
        returning brand_id, brand_code, row_version
    )
    select coalesce(jsonb_object_agg(brand_code, row_version), '{}'), array_agg(brand_id) filter (where row_version > 1)
    into touched, renamed from put;
    if renamed is not null then
        perform crm.name_products(renamed, '{}');
    end if;

    select array_agg(row (x.i, x.c, t.brand_id, t.row_version,
        case touched ->> t.brand_code when '1' then 'created' else case when touched ? t.brand_code then 'updated' else 'unchanged' end end
        )::crm.told)
    into told
    from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
    join crm.brand t on t.brand_code = x.b ->> 'brand_code';
    return crm.answers('brand', told);
end
$$;

-- Categories, one by one: each may be the parent of the next. The tree is one thing: who changes it is alone.
create function crm.do_category(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    parent crm.category;
    old crm.category;
    stored crm.category;
    answers jsonb := '[]';
begin
    lock table crm.category in share row exclusive mode;
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (category_code text, name text, parent_code text, active boolean,
            attributes jsonb, source_updated_at timestamptz)
    loop
        parent := null;
        if item.parent_code is not null then
            select * into parent from crm.category c where c.category_code = item.parent_code;
            if parent.category_id is null then
                answers := answers || crm.fault(item.i, 'unknown_category', '/parent_code', 'there is no category with this code; put the category first');
                continue;
            end if;
        end if;
        select * into old from crm.category c where c.category_code = item.category_code;
        if item.source_updated_at < old.source_updated_at then
            answers := answers || crm.answer(item.i, item.c, 'category', old.category_id, 'unchanged', old.row_version);
            continue;
        end if;
        if item.category_code = any (parent.path) then
            answers := answers || crm.fault(item.i, 'category_cycle', '/parent_code', 'the parent is the category itself, or below it');
            continue;
        end if;
        if coalesce(cardinality(parent.path), 0) + 1 + coalesce((
                select max(cardinality(c.path)) from crm.category c where c.path @> array[item.category_code])
                - cardinality(old.path), 0) > 16 then
            answers := answers || crm.fault(item.i, 'category_depth', '/parent_code', 'a category has at most 15 others above it');
            continue;
        end if;
        insert into crm.category as t (category_id, category_code, name, parent_id, parent_path, active, attributes,
            source_updated_at)
        values (item.id, item.category_code, item.name, parent.category_id, parent.path, coalesce(item.active, true),
            coalesce(item.attributes, '{}'), item.source_updated_at)
        on conflict (category_code) do update set name = excluded.name, parent_id = excluded.parent_id,
            parent_path = excluded.parent_path, active = excluded.active, attributes = excluded.attributes,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (t.name, t.parent_id, t.active, t.attributes, t.source_updated_at) is distinct from (excluded.name,
            excluded.parent_id, excluded.active, excluded.attributes,
            coalesce(excluded.source_updated_at, t.source_updated_at))
        returning * into stored;
        if old.category_id is not null and (old.name, old.parent_id) is distinct from (stored.name, stored.parent_id) then
            perform crm.name_products('{}', array(
                select c.category_id from crm.category c where c.path @> array[item.category_code]));
        end if;
        answers := answers || crm.answer(item.i, item.c, 'category', coalesce(stored.category_id, old.category_id),
            case when stored.category_id is null then 'unchanged' when old.category_id is null then 'created' else 'updated' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;

-- ---- Products and SKUs --------------------------------------------------------------------------------------------------
create or replace function crm.put_products(items jsonb) returns jsonb
language plpgsql as $$
declare
    asked jsonb;
    touched jsonb;
    told crm.told[];
    faults jsonb;
begin
    -- The names stay what they are until this is written.
    perform from crm.brand t where t.brand_code = any (array(
        select x.value #>> '{b,brand_code}' from jsonb_array_elements(items) x)) order by t.brand_code for share;
    perform from crm.category t where t.category_code = any (array(
        select x.value #>> '{b,category_code}' from jsonb_array_elements(items) x)) order by t.category_code for share;
    with named as (
        select x.value as item, t.brand_id, t.name as brand, c.category_id, c.name as category, r.name as department, case
                when x.value #>> '{b,brand_code}' is not null and t.brand_id is null then crm.fault((x.value ->> 'i')::int,
                    'unknown_brand', '/brand_code', 'there is no brand with this code; put the brand first')
                when x.value #>> '{b,category_code}' is not null and c.category_id is null then crm.fault((x.value ->> 'i')::int,
                    'unknown_category', '/category_code', 'there is no category with this code; put the category first')
            end as fault
        from jsonb_array_elements(items) x
        left join crm.brand t on t.brand_code = x.value #>> '{b,brand_code}'
        left join crm.category c on c.category_code = x.value #>> '{b,category_code}'
        left join crm.category r on r.category_code = c.path[1]
    )
    select coalesce(jsonb_agg(n.item || jsonb_build_object('b', (n.item -> 'b') || jsonb_strip_nulls(jsonb_build_object(
            'brand_id', n.brand_id, 'brand', n.brand, 'category_id', n.category_id, 'category', n.category, 'department', n.department))))
            filter (where n.fault is null), '[]'),
        coalesce(jsonb_agg(n.fault) filter (where n.fault is not null), '[]')
    into asked, faults from named n;

    with put as (
        insert into crm.product as t (product_id, product_code, title, brand, department, category, brand_id, category_id, season,
            merchandise_hierarchy, status, attributes, source_updated_at)
        select x.id, b.product_code, b.title, b.brand, b.department, b.category, b.brand_id, b.category_id, b.season,
            coalesce(b.merchandise_hierarchy, '{}'), coalesce(b.status, 'active'), coalesce(b.attributes, '{}'), b.source_updated_at
        from jsonb_to_recordset(asked) as x (id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (product_code text, title text, brand text, department text, category text,
            brand_id uuid, category_id uuid, season text, merchandise_hierarchy text[], status text, attributes jsonb,
            source_updated_at timestamptz)
        on conflict (product_code) do update set title = excluded.title, brand = excluded.brand,
            department = excluded.department, category = excluded.category, brand_id = excluded.brand_id,
            category_id = excluded.category_id, season = excluded.season,
            merchandise_hierarchy = excluded.merchandise_hierarchy, status = excluded.status,
            attributes = excluded.attributes, source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.title, t.brand, t.department, t.category, t.brand_id, t.category_id, t.season, t.merchandise_hierarchy, t.status,
                t.attributes, t.source_updated_at) is distinct from
                (excluded.title, excluded.brand, excluded.department, excluded.category, excluded.brand_id, excluded.category_id,
                    excluded.season, excluded.merchandise_hierarchy, excluded.status, excluded.attributes,
                    coalesce(excluded.source_updated_at, t.source_updated_at))
        returning product_code, row_version
    )
    select coalesce(jsonb_object_agg(product_code, row_version), '{}') into touched from put;

    select array_agg(row (x.i, x.c, p.product_id, p.row_version,
        case touched ->> p.product_code when '1' then 'created' else case when touched ? p.product_code then 'updated' else 'unchanged' end end
        )::crm.told)
    into told
    from jsonb_to_recordset(asked) as x (i int, c jsonb, b jsonb)
    join crm.product p on p.product_code = x.b ->> 'product_code';
    return crm.answers('product', told) || faults;
end
$$;

-- Makes the GTINs of SKUs what is asked for; gives the codes of the SKUs for which that changed something. Each ask is {"sku_code", "gtins": [{"gtin14", "is_global"}]}.
create function crm.put_gtins(asked jsonb) returns text[]
language plpgsql as $$
declare
    result text[];
begin
    with named as materialized (
        select s.sku_id, s.sku_code, coalesce(a.gtins, '[]') as gtins
        from jsonb_to_recordset(asked) as a (sku_code text, gtins jsonb)
        join crm.sku s on s.sku_code = a.sku_code
    ), new as materialized (
        select distinct n.sku_id, g.gtin14, g.is_global
        from named n cross join lateral jsonb_to_recordset(n.gtins) as g (gtin14 text, is_global boolean)
    ), gone as (
        delete from crm.sku_gtin t
        where t.sku_id = any (array(select sku_id from named))
            and not exists (select from new w where (w.sku_id, w.gtin14) = (t.sku_id, t.gtin14))
        returning t.sku_id
    ), put as (
        insert into crm.sku_gtin (sku_id, gtin14, is_global)
        select w.sku_id, w.gtin14, w.is_global from new w
        on conflict (sku_id, gtin14) do nothing
        returning sku_id
    )
    select array_agg(distinct n.sku_code) into result
    from named n where n.sku_id in (select sku_id from gone union all select sku_id from put);
    return coalesce(result, '{}');
end
$$;

create or replace function crm.put_skus(items jsonb) returns jsonb
language plpgsql as $$
declare
    asked jsonb;
    touched jsonb;
    relabelled text[] := '{}';
    told crm.told[];
    faults jsonb;
begin
    with checked as (
        select x.value as item, case
                when p.product_id is null then crm.fault((x.value ->> 'i')::int, 'unknown_product', '/product_code',
                    'there is no product with this code; put the product first')
                when g.taken then crm.fault((x.value ->> 'i')::int, 'gtin_taken', '/gtin', 'another SKU has one of these GTINs')
            end as fault
        from jsonb_array_elements(items) with ordinality x
        left join crm.product p on p.product_code = x.value #>> '{b,product_code}'
        left join lateral (
            select bool_or(true) as taken
            from jsonb_to_recordset(x.value #> '{b,gtins14}') as g (gtin14 text, is_global boolean)
            where g.is_global and (
                exists (
                    select from crm.sku_gtin o join crm.sku s on s.sku_id = o.sku_id
                    where o.gtin14 = g.gtin14 and o.is_global and s.sku_code <> x.value #>> '{b,sku_code}')
                or exists (
                    select from jsonb_array_elements(items) with ordinality y
                    where y.ordinality < x.ordinality and y.value #> '{b,gtins14}' @> jsonb_build_array(jsonb_build_object('gtin14', g.gtin14))))
        ) g on x.value #> '{b,gtins14}' is not null
    )
    select coalesce(jsonb_agg(c.item) filter (where c.fault is null), '[]'), coalesce(jsonb_agg(c.fault) filter (where c.fault is not null), '[]')
    into asked, faults from checked c;

    with put as (
        insert into crm.sku as t (sku_id, product_id, sku_code, gtin14, uom, list_price_minor, cost_minor, currency, tax_class,
            variant_attributes, active, source_updated_at)
        select x.id, p.product_id, b.sku_code, b.gtin14, coalesce(b.uom, 'each'), b.list_price_minor, b.cost_minor, b.currency,
            b.tax_class, coalesce(b.variant_attributes, '{}'), coalesce(b.active, true), b.source_updated_at
        from jsonb_to_recordset(asked) as x (id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (sku_code text, product_code text, gtin14 text, uom text,
            list_price_minor bigint, cost_minor bigint, currency text, tax_class text, variant_attributes jsonb, active boolean,
            source_updated_at timestamptz)
        join crm.product p on p.product_code = b.product_code
        on conflict (sku_code) do update set product_id = excluded.product_id, gtin14 = excluded.gtin14, uom = excluded.uom,
            list_price_minor = excluded.list_price_minor, cost_minor = excluded.cost_minor, currency = excluded.currency,
            tax_class = excluded.tax_class, variant_attributes = excluded.variant_attributes, active = excluded.active,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.product_id, t.gtin14, t.uom, t.list_price_minor, t.cost_minor, t.currency, t.tax_class, t.variant_attributes,
                t.active, t.source_updated_at) is distinct from
                (excluded.product_id, excluded.gtin14, excluded.uom, excluded.list_price_minor, excluded.cost_minor,
                    excluded.currency, excluded.tax_class, excluded.variant_attributes, excluded.active,
                    coalesce(excluded.source_updated_at, t.source_updated_at))
        returning sku_code, row_version
    )
    select coalesce(jsonb_object_agg(sku_code, row_version), '{}') into touched from put;

    -- Those that were newer than what is stored, and have GTINs or had some.
    relabelled := crm.put_gtins((
        select coalesce(jsonb_agg(jsonb_build_object('sku_code', s.sku_code, 'gtins', x.b -> 'gtins14')), '[]')
        from jsonb_to_recordset(asked) as x (b jsonb)
        join crm.sku s on s.sku_code = x.b ->> 'sku_code'
        where ((x.b ->> 'source_updated_at')::timestamptz < s.source_updated_at) is not true
            and (x.b ? 'gtins14' or exists (select from crm.sku_gtin g where g.sku_id = s.sku_id))));
    if cardinality(relabelled) > 0 then
        update crm.sku s set row_version = s.row_version + 1, updated_at = now()
        where s.sku_code = any (relabelled) and not touched ? s.sku_code;
        touched := (select jsonb_object_agg(code, 2) from unnest(relabelled) code) || touched;
    end if;

    select array_agg(row (x.i, x.c, s.sku_id, s.row_version,
        case touched ->> s.sku_code when '1' then 'created' else case when touched ? s.sku_code then 'updated' else 'unchanged' end end
        )::crm.told)
    into told
    from jsonb_to_recordset(asked) as x (i int, c jsonb, b jsonb)
    join crm.sku s on s.sku_code = x.b ->> 'sku_code';
    return crm.answers('sku', told) || faults;
end
$$;
