-- Commands: the writes of the store. `crm.run` (in the next migration) takes waves of commands in one transaction; each wave holds commands
-- of one kind, no record twice, sorted by what they lock. Every command is answered by a value: what it did, or the fault in it. An exception
-- means that the whole transaction is void. All that is more than an expression is PL/pgSQL: it keeps its plans, while PostgreSQL
-- before 18 plans the body of an SQL function anew at every call.
--
-- An item is {"i": place in the batch, "c": {"actor", "reason", "request"}, "key", "hash", "id": id if it is new, "b": body}.
-- An answer is {"i", "id", "effect", "row_version"} or {"i", "fault", "pointer", "detail"}.

-- Time-ordered ids for rows that only the store makes.
create function crm.uuid7() returns uuid
language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
        'hex')::uuid
$$;

-- Minor units in one major unit of a currency (ISO 4217 table A.1), as in the model.
create function crm.major(currency text) returns bigint
language sql immutable parallel safe as $$
    select case
        when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF',
            'XOF', 'XPF') then 1
        when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 1000
        else 100
    end
$$;

-- Ledgers only grow, and each entry of points sums to zero. A statement writes whole entries, so that it can be checked at once.
create function crm.points_balance() returns trigger
language plpgsql as $$
begin
    if exists (select from added group by entry_id having sum(points) <> 0 or count(*) < 2) then
        raise exception 'a points entry does not sum to zero' using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end
$$;
create trigger points_balance after insert on crm.points_ledger
    referencing new table as added for each statement execute function crm.points_balance();

create function crm.append_only() returns trigger
language plpgsql as $$
begin
    raise exception '% only grows', tg_table_name using errcode = 'integrity_constraint_violation';
end
$$;
create trigger append_only before update or delete or truncate on crm.points_ledger
    for each statement execute function crm.append_only();
create trigger append_only before update or delete or truncate on crm.audit_log
    for each statement execute function crm.append_only();

create function crm.fault(i int, fault text, pointer text, detail text) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object('i', i, 'fault', fault, 'pointer', pointer, 'detail', detail)
$$;

-- The answer to a command on one record, with its line in the audit log if it had an effect.
create function crm.answer(i int, c jsonb, entity text, id uuid, effect text, row_version bigint) returns jsonb
language plpgsql as $$
begin
    if effect <> 'unchanged' then
        insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
        values (c ->> 'actor', effect, entity, id::text, c ->> 'reason', c ->> 'request');
    end if;
    return jsonb_build_object('i', i, 'id', id, 'effect', effect, 'row_version', row_version);
end
$$;

-- The answers to commands on many records: `told` holds (i, c, id, row_version, effect).
create type crm.told as (i int, c jsonb, id uuid, row_version bigint, effect text);
create function crm.answers(entity text, told crm.told[]) returns jsonb
language plpgsql as $$
begin
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    select t.c ->> 'actor', t.effect, entity, t.id::text, t.c ->> 'reason', t.c ->> 'request'
    from unnest(told) t where t.effect <> 'unchanged';
    return (
        select coalesce(jsonb_agg(jsonb_build_object('i', t.i, 'id', t.id, 'effect', t.effect, 'row_version', t.row_version)), '[]')
        from unnest(told) t);
end
$$;

-- Stores. The database must know the time zone too: business days are reckoned with it.
create function crm.put_stores(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    stored crm.store;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (store_code text, name text, type text, timezone text, country_code text,
            region text, attributes jsonb, source_updated_at timestamptz)
    loop
        begin
            perform now() at time zone coalesce(item.timezone, 'UTC');
        exception when invalid_parameter_value then
            answers := answers || crm.fault(item.i, 'unknown_timezone', '/timezone', 'the store does not know this time zone');
            continue;
        end;
        insert into crm.store as t (store_id, store_code, name, type, timezone, country_code, region, attributes, source_updated_at)
        values (item.id, item.store_code, item.name, coalesce(item.type, 'physical'), coalesce(item.timezone, 'UTC'),
            item.country_code, item.region, coalesce(item.attributes, '{}'), item.source_updated_at)
        on conflict (store_code) do update set name = excluded.name, type = excluded.type, timezone = excluded.timezone,
            country_code = excluded.country_code, region = excluded.region, attributes = excluded.attributes,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.name, t.type, t.timezone, t.country_code, t.region, t.attributes, t.source_updated_at) is distinct from
                (excluded.name, excluded.type, excluded.timezone, excluded.country_code, excluded.region, excluded.attributes,
                    coalesce(excluded.source_updated_at, t.source_updated_at))
        returning * into stored;
        if stored.store_id is not null then
            answers := answers || crm.answer(item.i, item.c, 'store', stored.store_id,
                case stored.row_version when 1 then 'created' else 'updated' end, stored.row_version);
        else
            select * into stored from crm.store s where s.store_code = item.store_code;
            answers := answers || crm.answer(item.i, item.c, 'store', stored.store_id, 'unchanged', stored.row_version);
        end if;
    end loop;
    return answers;
end
$$;

-- Products, all at once.
create function crm.put_products(items jsonb) returns jsonb
language plpgsql as $$
declare
    touched jsonb;
    told crm.told[];
begin
    with put as (
        insert into crm.product as t (product_id, product_code, title, brand, department, category, status, attributes,
            source_updated_at)
        select x.id, b.product_code, b.title, b.brand, b.department, b.category, coalesce(b.status, 'active'),
            coalesce(b.attributes, '{}'), b.source_updated_at
        from jsonb_to_recordset(items) as x (id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (product_code text, title text, brand text, department text, category text,
            status text, attributes jsonb, source_updated_at timestamptz)
        on conflict (product_code) do update set title = excluded.title, brand = excluded.brand,
            department = excluded.department, category = excluded.category, status = excluded.status,
            attributes = excluded.attributes, source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.title, t.brand, t.department, t.category, t.status, t.attributes, t.source_updated_at) is distinct from
                (excluded.title, excluded.brand, excluded.department, excluded.category, excluded.status, excluded.attributes,
                    coalesce(excluded.source_updated_at, t.source_updated_at))
        returning product_code, row_version
    )
    select coalesce(jsonb_object_agg(product_code, row_version), '{}') into touched from put;

    select array_agg(row (x.i, x.c, p.product_id, p.row_version,
        case touched ->> p.product_code when '1' then 'created' else case when touched ? p.product_code then 'updated' else 'unchanged' end end
        )::crm.told)
    into told
    from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
    join crm.product p on p.product_code = x.b ->> 'product_code';
    return crm.answers('product', told);
end
$$;

-- SKUs, all at once; each names a product that is there.
create function crm.put_skus(items jsonb) returns jsonb
language plpgsql as $$
declare
    touched jsonb;
    told crm.told[];
    faults jsonb;
begin
    with put as (
        insert into crm.sku as t (sku_id, product_id, sku_code, gtin14, uom, list_price_minor, currency, active, source_updated_at)
        select x.id, p.product_id, b.sku_code, b.gtin14, coalesce(b.uom, 'each'), b.list_price_minor, b.currency,
            coalesce(b.active, true), b.source_updated_at
        from jsonb_to_recordset(items) as x (id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (sku_code text, product_code text, gtin14 text, uom text,
            list_price_minor bigint, currency text, active boolean, source_updated_at timestamptz)
        join crm.product p on p.product_code = b.product_code
        on conflict (sku_code) do update set product_id = excluded.product_id, gtin14 = excluded.gtin14, uom = excluded.uom,
            list_price_minor = excluded.list_price_minor, currency = excluded.currency, active = excluded.active,
            source_updated_at = coalesce(excluded.source_updated_at, t.source_updated_at),
            row_version = t.row_version + 1, updated_at = now()
        where (excluded.source_updated_at < t.source_updated_at) is not true
            and (t.product_id, t.gtin14, t.uom, t.list_price_minor, t.currency, t.active, t.source_updated_at) is distinct from
                (excluded.product_id, excluded.gtin14, excluded.uom, excluded.list_price_minor, excluded.currency,
                    excluded.active, coalesce(excluded.source_updated_at, t.source_updated_at))
        returning sku_code, row_version
    )
    select coalesce(jsonb_object_agg(sku_code, row_version), '{}') into touched from put;

    select array_agg(row (x.i, x.c, s.sku_id, s.row_version,
            case touched ->> s.sku_code when '1' then 'created' else case when touched ? s.sku_code then 'updated' else 'unchanged' end end
            )::crm.told) filter (where p.product_id is not null),
        jsonb_agg(crm.fault(x.i, 'unknown_product', '/product_code', 'there is no product with this code; put the product first'))
            filter (where p.product_id is null)
    into told, faults
    from jsonb_to_recordset(items) as x (i int, c jsonb, b jsonb)
    left join crm.product p on p.product_code = x.b ->> 'product_code'
    left join crm.sku s on s.sku_code = x.b ->> 'sku_code';
    return crm.answers('sku', told) || coalesce(faults, '[]');
end
$$;

-- Consents of a member; gives the number that changed. The newer status wins; of two at one moment, the one that allows less.
create function crm.put_consents(member uuid, consents jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.consent as t (consent_id, member_id, purpose, channel, status, source, status_at, expires_at)
        select c.id, member, c.purpose, c.channel, c.status, c.source, c.status_at, c.expires_at
        from jsonb_to_recordset(consents) as c (id uuid, purpose text, channel text, status text, status_at timestamptz,
            timed boolean, expires_at timestamptz, source text)
        -- A status that is so already is no news, unless it comes with a later time of its own.
        where c.timed or not exists (
            select from crm.consent o
            where (o.member_id, o.purpose, o.channel, o.status) = (member, c.purpose, c.channel, c.status)
                and (o.expires_at, o.source) is not distinct from (c.expires_at, c.source))
        on conflict (member_id, purpose, channel) do update set status = excluded.status, source = excluded.source,
            status_at = excluded.status_at, expires_at = excluded.expires_at, row_version = t.row_version + 1
        where excluded.status_at > t.status_at
            or (excluded.status_at = t.status_at and t.status = 'granted' and excluded.status <> 'granted')
        returning 1
    )
    select count(*) from put
    into result;
    return result;
end
$$;

-- Identities of a member that it does not have yet; gives their number. Another owner at the same moment raises an exception.
create function crm.add_identities(member uuid, tokens jsonb) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with new as (
        insert into crm.member_identity (identity_id, member_id, kind, token)
        select distinct on (t.kind, t.token) t.id, member, t.kind, t.token
        from jsonb_to_recordset(tokens) as t (id uuid, kind text, token text)
        where not exists (
            select from crm.member_identity o
            where (o.kind, o.token, o.member_id) = (t.kind, t.token, member) and o.strength = 'strong')
        order by t.kind, t.token
        returning identity_id
    ), value as (
        insert into crm.member_identity_value (identity_id, value)
        select n.identity_id, t.value
        from new n join jsonb_to_recordset(tokens) as t (id uuid, value text) on t.id = n.identity_id
    )
    select count(*) from new
    into result;
    return result;
end
$$;

-- Members. They are put together from many channels: what a command leaves out stays as it is. An older command than the stored one
-- changes neither the member nor its personal data; its identities are still added, and its consents go by times of their own.
create function crm.put_members(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    home uuid;
    taken int;
    old crm.member;
    stored crm.member;
    older boolean;
    news bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text, status text, first_name text, last_name text,
            birth_date date, tier_code text, enrolled_at timestamptz, enrol_channel text, home_store_code text, locale text,
            timezone text, country_code text, attributes jsonb, source_updated_at timestamptz, account_id uuid, tokens jsonb,
            granted jsonb, now timestamptz)
    loop
        home := null;
        if item.home_store_code is not null then
            select store_id into home from crm.store where store_code = item.home_store_code;
            if home is null then
                answers := answers || crm.fault(item.i, 'unknown_store', '/home_store_code', 'there is no store with this code; put the store first');
                continue;
            end if;
        end if;
        select * into old from crm.member m where m.member_no = item.member_no for no key update;
        if old.status in ('merged', 'erased') then
            answers := answers || crm.fault(item.i, 'member_closed', '/member_no', 'this member is ' || old.status || ' and takes no updates');
            continue;
        end if;
        select min(t.n) into taken
        from jsonb_to_recordset(item.tokens) as t (n int, kind text, token text)
        join crm.member_identity o on (o.kind, o.token) = (t.kind, t.token) and o.strength = 'strong'
        where o.member_id is distinct from old.member_id;
        if taken is not null then
            answers := answers || crm.fault(item.i, 'identity_taken', '/identities/' || taken, 'another member holds this identity');
            continue;
        end if;
        older := coalesce(item.source_updated_at < old.source_updated_at, false);
        insert into crm.member as t (member_id, member_no, status, tier_code, enrolled_at, enrol_channel, home_store_id, locale,
            timezone, country_code, attributes, source_updated_at)
        values (item.id, item.member_no, coalesce(item.status, old.status, 'active'), coalesce(item.tier_code, old.tier_code),
            coalesce(item.enrolled_at, old.enrolled_at, item.now), coalesce(item.enrol_channel, old.enrol_channel),
            coalesce(home, old.home_store_id), coalesce(item.locale, old.locale), coalesce(item.timezone, old.timezone),
            coalesce(item.country_code, old.country_code), coalesce(item.attributes, old.attributes, '{}'),
            coalesce(item.source_updated_at, old.source_updated_at))
        on conflict (member_no) do update set status = excluded.status, tier_code = excluded.tier_code,
            enrolled_at = excluded.enrolled_at, enrol_channel = excluded.enrol_channel, home_store_id = excluded.home_store_id,
            locale = excluded.locale, timezone = excluded.timezone, country_code = excluded.country_code,
            attributes = excluded.attributes, source_updated_at = excluded.source_updated_at,
            row_version = t.row_version + 1, updated_at = now()
        where not older and (t.status, t.tier_code, t.enrolled_at, t.enrol_channel, t.home_store_id, t.locale, t.timezone, t.country_code,
                t.attributes, t.source_updated_at) is distinct from
            (excluded.status, excluded.tier_code, excluded.enrolled_at, excluded.enrol_channel, excluded.home_store_id,
                excluded.locale, excluded.timezone, excluded.country_code, excluded.attributes, excluded.source_updated_at)
        returning * into stored;
        if old.member_id is null and (stored.member_id is null or stored.row_version > 1) then
            -- Somebody made the member between the look and the write, and what is kept must be looked at first.
            raise exception 'made at the same time' using errcode = 'unique_violation';
        end if;
        if old.member_id is null then
            insert into crm.points_account (account_id, kind, member_id) values (item.account_id, 'member', stored.member_id);
        end if;
        news := crm.add_identities(coalesce(stored.member_id, old.member_id), item.tokens)
            + crm.put_consents(coalesce(stored.member_id, old.member_id), item.granted);
        if not older then
            news := news
                + crm.put_pii(coalesce(stored.member_id, old.member_id), item.first_name, item.last_name, item.birth_date);
        end if;
        answers := answers || crm.answer(item.i, item.c, 'member', coalesce(stored.member_id, old.member_id),
            case when old.member_id is null then 'created' when stored.member_id is not null or news > 0 then 'updated'
                else 'unchanged' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;

-- Personal data of a member, apart from all that travels; gives 1 if something changed.
create function crm.put_pii(member uuid, first text, last text, birth date) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.member_pii as t (member_id, first_name, last_name, birth_date)
        select member, first, last, birth where coalesce(first, last, birth::text) is not null
        on conflict (member_id) do update set first_name = coalesce(excluded.first_name, t.first_name),
            last_name = coalesce(excluded.last_name, t.last_name), birth_date = coalesce(excluded.birth_date, t.birth_date),
            updated_at = now()
        where (t.first_name, t.last_name, t.birth_date) is distinct from (coalesce(excluded.first_name, t.first_name),
            coalesce(excluded.last_name, t.last_name), coalesce(excluded.birth_date, t.birth_date))
        returning 1
    )
    select count(*) from put
    into result;
    return result;
end
$$;
