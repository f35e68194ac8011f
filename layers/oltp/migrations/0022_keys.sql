-- Keys with scopes, limits and successors; personal data behind a switch of the transaction, for a role that cannot pass it;
-- versions that a writer may ask for; the audit log's ways in.
set local search_path = crm;

alter table api_key
    add column scopes text[] check (cardinality(scopes) between 1 and 64),
    add column requests_per_s int check (requests_per_s between 1 and 1000000),
    add column burst int check (burst between 1 and 10000000),
    add column previous_hash text unique,
    add column previous_until timestamptz,
    add column rotated_at timestamptz,
    add column last_used_at timestamptz,
    add check ((previous_hash is null) = (previous_until is null));
-- Whoever set the house up keeps seeing all of it; every other key needs the scope from now on.
update api_key set scopes = '{*}'
where api_key_id = (select k.api_key_id from api_key k where k.role = 'admin' and k.revoked_at is null order by k.created_at limit 1);

comment on table api_key is 'Keys of the API. Only hashes are kept. Not published.';
comment on column api_key.api_key_id is 'Our id: the actor of what the key does. It stays through rotations.';
comment on column api_key.name is 'Whom it is for, in the words of who made it.';
comment on column api_key.key_hash is 'SHA-256 of the secret, in hex. The secret has 256 random bits, so that nothing but the hash is worth keeping, and the time of a look-up tells nothing of use.';
comment on column api_key.role is 'The most that the key may do: reader, writer or admin.';
comment on column api_key.scopes is 'What of that it may do: `orders:write`, `members:read`, `pii:read`, `*`. Null: all but personal data.';
comment on column api_key.requests_per_s is 'Requests that the key may make in a second, in the long run; the configuration''s where null.';
comment on column api_key.burst is 'Requests that it may make at once after a rest; the configuration''s where null.';
comment on column api_key.previous_hash is 'Hash of the secret before the last rotation, which works until previous_until.';
comment on column api_key.previous_until is 'Until when the secret before works.';
comment on column api_key.rotated_at is 'When its secret was last changed.';
comment on column api_key.last_used_at is 'When it was last used, within an hour.';
comment on column api_key.created_at is 'When it was made.';
comment on column api_key.expires_at is 'Until when it is valid; for ever where null.';
comment on column api_key.revoked_at is 'When it was revoked.';

-- Who changed what, and what somebody changed, newest first.
create index on audit_log (entity, entity_id, audit_id);
create index on audit_log (actor, audit_id);
create index on audit_log using brin (at);

-- Whoever follows what changes asks by this; it comes in the order of the writes.
create index on store (updated_at, store_id);
create index on product (updated_at, product_id);
create index on sku (updated_at, sku_id);
create index on member (updated_at, member_id);
create index on sales_order (updated_at, order_id);
create index on sales_return (updated_at, return_id);
create index on sales_return (member_id, returned_at desc);

-- Personal data. Rows of these tables are there only for a transaction that says `set local storewide.pii = 'on'`, whoever owns
-- the tables. A superuser passes all policies: the program's connections work under the plain role instead (see pool.rs).
create function crm.keep_personal(kept regclass) returns void
language plpgsql as $$
begin
    execute format('alter table %s enable row level security', kept);
    execute format('alter table %s force row level security', kept);
    execute format('create policy personal on %s using (current_setting(''storewide.pii'', true) = ''on'')', kept);
end
$$;
select crm.keep_personal('crm.member_pii'), crm.keep_personal('crm.member_identity_value');

-- Kinds of commands that read or write personal data: their transactions may.
create function crm.is_personal(kind text) returns boolean
language sql immutable as $$
    select kind = 'member' or starts_with(kind, 'member_')
$$;

-- An identity's value as anybody may see it.
create function crm.masked(identity uuid) returns text
language plpgsql as $$
declare
    before text := coalesce(current_setting('storewide.pii', true), '');
    result text;
begin
    perform set_config('storewide.pii', 'on', true);
    select case when length(v.value) < 8 then '***' else left(v.value, 1) || '***' || right(v.value, 2) end
    from crm.member_identity_value v where v.identity_id = identity
    into result;
    perform set_config('storewide.pii', before, true);
    return result;
end
$$;

-- The role under which the program's connections work where their own would pass the policies. Whoever may neither make it nor be
-- bound by policies keeps to the checks of the program.
do $$
declare
    own pg_roles;
begin
    select * into own from pg_roles where rolname = current_user;
    if not (own.rolsuper or own.rolbypassrls) then
        return;
    end if;
    if not exists (select from pg_roles where rolname = 'storewide_plain') then
        begin
            create role storewide_plain nologin;
        exception
            -- Another database of this server made it at the same time, or this user may make none.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then return;
        end;
    end if;
    if not pg_has_role(current_user, 'storewide_plain', 'member') then
        execute format('grant storewide_plain to %I', current_user);
    end if;
    grant usage on schema crm to storewide_plain;
    grant select, insert, update, delete on all tables in schema crm to storewide_plain;
    grant usage, select on all sequences in schema crm to storewide_plain;
    alter default privileges in schema crm grant select, insert, update, delete on tables to storewide_plain;
    alter default privileges in schema crm grant usage, select on sequences to storewide_plain;
    begin
        -- What the store says of itself: `storewide oltp status`.
        grant pg_monitor to storewide_plain;
    exception
        when insufficient_privilege then null;
    end;
    -- The tables that these make and drop are the owner's.
    alter function crm.make_partitions(int) security definer set search_path = crm, pg_temp;
    alter function crm.drop_partitions(text, int) security definer set search_path = crm, pg_temp;
    if to_regnamespace('storewide') is not null then
        grant usage on schema storewide to storewide_plain;
        grant select on all tables in schema storewide to storewide_plain;
    end if;
end
$$;

-- How a command names the record that it puts: by these fields of its body, which are columns of the table. For `If-Match`.
create table record_kind (
    kind text primary key,
    kept_in regclass not null,
    named_by text[] not null check (cardinality(named_by) > 0)
);
comment on table record_kind is 'How a command names the record that it puts. Filled by migrations only. Not published.';
comment on column record_kind.kind is 'Kind of the command.';
comment on column record_kind.kept_in is 'Table of the record; has the column row_version.';
comment on column record_kind.named_by is 'Fields of the command''s body that are columns of the same names and together unique.';
insert into record_kind values
    ('store', 'store', '{store_code}'),
    ('product', 'product', '{product_code}'),
    ('sku', 'sku', '{sku_code}'),
    ('member', 'member', '{member_no}'),
    ('order', 'sales_order', '{source,order_no}'),
    ('return', 'sales_return', '{source,return_no}'),
    ('brand', 'brand', '{brand_code}'),
    ('category', 'category', '{category_code}'),
    ('price', 'price', '{price_code}'),
    ('tier', 'tier_definition', '{tier_code}'),
    ('coupon_definition', 'coupon_definition', '{definition_code}'),
    ('campaign', 'campaign', '{campaign_code}'),
    ('shipment', 'shipment', '{source,shipment_no}'),
    ('ticket', 'ticket', '{source,ticket_no}'),
    ('subscription', 'subscription', '{source,subscription_no}');

-- The version of the record that a command would put, which stays so until the transaction ends; null where there is none.
create function crm.version_of(kind text, body jsonb) returns bigint
language plpgsql as $$
declare
    known crm.record_kind;
    result bigint;
begin
    select * into known from crm.record_kind r where r.kind = version_of.kind;
    if known is null then
        return null;
    end if;
    execute (
        select format('select t.row_version from %s t where %s for no key update', known.kept_in,
            string_agg(format('t.%I = $1 ->> %L', field, field), ' and '))
        from unnest(known.named_by) as field)
    into result using body;
    return result;
end
$$;

-- Faults of the items of a wave that are to be done to another version of their record than the stored one.
create function crm.outdated(kind text, items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    stored bigint;
    result jsonb := '[]';
begin
    for item in select x.i, x.if_version, x.b from jsonb_to_recordset(items) as x (i int, if_version bigint, b jsonb)
        where x.if_version is not null
    loop
        stored := crm.version_of(kind, item.b);
        if stored is null and not exists (select from crm.record_kind r where r.kind = outdated.kind) then
            result := result || crm.fault(item.i, 'not_versioned', '', 'this kind is not written by version; leave If-Match out');
        elsif stored is distinct from item.if_version then
            result := result || crm.fault(item.i, 'version_mismatch', '',
                coalesce('the record has version ' || stored, 'there is no such record') || '; get it again and look what changed');
        end if;
    end loop;
    return result;
end
$$;
