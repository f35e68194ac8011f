-- Where members live and have things sent: personal, so it stands beside names and birth dates, and goes with them.

alter table crm.member_pii add column addresses jsonb not null default '[]';
-- The rows that are there already are checked in the next migration, beside traffic.
alter table crm.member_pii add constraint member_pii_addresses_check
    check (jsonb_typeof(addresses) = 'array' and jsonb_array_length(addresses) <= 20) not valid;
comment on column crm.member_pii.addresses is
    'Postal addresses, by label: {label, recipient, lines, postal_code, city, region, country_code}, each label once.';

-- Addresses after others were put, each by its label: one without lines takes that label's away, labels that do not come stay.
create function crm.with_addresses(stored jsonb, given jsonb) returns jsonb
language plpgsql as $$
begin
    return (
        select coalesce(jsonb_agg(a.value order by a.value ->> 'label'), '[]')
        from (
            select g.value from jsonb_array_elements(given) g where g.value ? 'lines'
            union all
            select s.value from jsonb_array_elements(stored) s
            where not exists (select from jsonb_array_elements(given) g where g.value ->> 'label' = s.value ->> 'label')) a);
end
$$;

-- Puts addresses of a member, whose row is locked. Gives 1 if something changed.
create function crm.put_addresses(member uuid, given jsonb) returns bigint
language plpgsql as $$
declare
    stored jsonb;
    put jsonb;
begin
    if coalesce(given, '[]') = '[]' then
        return 0;
    end if;
    stored := coalesce((select p.addresses from crm.member_pii p where p.member_id = put_addresses.member), '[]');
    put := crm.with_addresses(stored, given);
    if put = stored then
        return 0;
    end if;
    insert into crm.member_pii as t (member_id, addresses) values (put_addresses.member, put)
    on conflict (member_id) do update set addresses = excluded.addresses, updated_at = now();
    return 1;
end
$$;

-- As in migration `members`, with addresses.
create or replace function crm.put_members(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    home uuid;
    taken int;
    old crm.member;
    stored crm.member;
    older boolean;
    said boolean;
    news bigint;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (member_no text, status text, first_name text, last_name text,
            birth_date date, tier_code text, enrolled_at timestamptz, enrol_channel text, home_store_code text, locale text,
            timezone text, country_code text, attributes jsonb, source_updated_at timestamptz, account_id uuid, tokens jsonb,
            granted jsonb, addresses jsonb, now timestamptz)
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
        from jsonb_to_recordset(item.tokens) as t (n int, kind text, token text, strength text)
        join crm.member_identity o on (o.kind, o.token) = (t.kind, t.token) and o.strength = 'strong'
        where o.member_id is distinct from old.member_id and t.strength is distinct from 'weak';
        if taken is not null then
            answers := answers || crm.fault(item.i, 'identity_taken', '/identities/' || taken, 'another member holds this identity');
            continue;
        end if;
        older := coalesce(item.source_updated_at < old.source_updated_at, false);
        said := item.tier_code is not null and item.tier_code is distinct from old.tier_code;
        insert into crm.member as t (member_id, member_no, status, tier_code, tier_manual, tier_valid_to, enrolled_at, enrol_channel,
            home_store_id, locale, timezone, country_code, attributes, source_updated_at)
        values (item.id, item.member_no, coalesce(item.status, old.status, 'active'), coalesce(item.tier_code, old.tier_code),
            coalesce(said or old.tier_manual, said), case when not said then old.tier_valid_to end,
            coalesce(item.enrolled_at, old.enrolled_at, item.now), coalesce(item.enrol_channel, old.enrol_channel),
            coalesce(home, old.home_store_id), coalesce(item.locale, old.locale), coalesce(item.timezone, old.timezone),
            coalesce(item.country_code, old.country_code), coalesce(item.attributes, old.attributes, '{}'),
            coalesce(item.source_updated_at, old.source_updated_at))
        on conflict (member_no) do update set status = excluded.status, tier_code = excluded.tier_code,
            tier_manual = excluded.tier_manual, tier_valid_to = excluded.tier_valid_to,
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
        if said and stored.member_id is not null then
            perform crm.tier_changed(stored.member_id, old.tier_code, stored.tier_code, 'manual');
        end if;
        news := crm.add_identities(coalesce(stored.member_id, old.member_id), item.tokens)
            + crm.put_consents(coalesce(stored.member_id, old.member_id), item.granted);
        if not older then
            news := news
                + crm.put_pii(coalesce(stored.member_id, old.member_id), item.first_name, item.last_name, item.birth_date)
                + crm.put_addresses(coalesce(stored.member_id, old.member_id), item.addresses);
        end if;
        answers := answers || crm.answer(item.i, item.c, 'member', coalesce(stored.member_id, old.member_id),
            case when old.member_id is null then 'created' when stored.member_id is not null or news > 0 then 'updated'
                else 'unchanged' end,
            coalesce(stored.row_version, old.row_version));
    end loop;
    return answers;
end
$$;
