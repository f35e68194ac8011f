-- Ledgers in partitions by month. First part of the ninth migration.
--
-- A ledger is partitioned by its key, whose ids are ordered by time: keys stay unique over all partitions, and no column of time
-- has to be part of them. Ids of another kind (random ones of old) fall before the first month or into the default partition.
--
-- Orders, lines and payments are not partitioned. They are found and changed by id long after their month; each such statement
-- would lock every partition, and the uniqueness of `(source, order_no)` and of `order_line_id` would be lost.

-- The smallest time-ordered id of a moment.
create function crm.uuid_from(at timestamptz) returns uuid
language sql immutable parallel safe as $$
    select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- The moment of a time-ordered id.
create function crm.uuid_time(id uuid) returns timestamptz
language sql immutable parallel safe as $$
    select to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
$$;

-- The partitions of all ledgers, with the moments between which their ids were made; null is no bound. The default partition of a
-- ledger has neither.
create function crm.ledger_partitions() returns table (ledger text, name text, since timestamptz, until timestamptz, fallback boolean)
language plpgsql stable as $$
begin
    return query select r.relname::text, c.relname::text,
        crm.uuid_time(substring(b.bound from 'FROM \(''([-0-9a-f]{36})''\)')::uuid),
        crm.uuid_time(substring(b.bound from 'TO \(''([-0-9a-f]{36})''\)')::uuid), b.bound = 'DEFAULT'
    from pg_partitioned_table p
    join pg_class r on r.oid = p.partrelid
    join pg_attribute a on a.attrelid = r.oid and a.attnum = p.partattrs[0] and a.atttypid = 'uuid'::regtype
    left join pg_inherits i on i.inhparent = r.oid
    left join pg_class c on c.oid = i.inhrelid
    left join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound) b on true
    where r.relnamespace = 'crm'::regnamespace and p.partstrat = 'r' and p.partnatts = 1
    order by 1, 3 nulls first, 2;
end
$$;

-- Makes the partitions of every ledger up to so many months after this one; gives their number. A ledger is a table of this schema
-- that is partitioned by ranges of one id. A partition is attached, which does not wait for those who write to the ledger.
create function crm.make_partitions(ahead int) returns int
language plpgsql as $$
declare
    ledger record;
    month timestamptz;
    name text;
    made int := 0;
begin
    -- Two processes that start together make each partition once.
    perform pg_advisory_xact_lock(hashtext('crm.make_partitions'));
    for ledger in
        select l.ledger, coalesce(max(l.until), date_trunc('month', now(), 'UTC')) as since, bool_or(l.fallback) as has_default
        from crm.ledger_partitions() l group by 1 order by 1
    loop
        if ledger.has_default is not true then
            execute format('create table crm.%I partition of crm.%I default', ledger.ledger || '_default', ledger.ledger);
            perform crm.guard_partition(ledger.ledger, ledger.ledger || '_default');
        end if;
        for month in
            select m at time zone 'UTC' from generate_series(ledger.since at time zone 'UTC',
                date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead), '1 month') m
        loop
            name := ledger.ledger || to_char(month at time zone 'UTC', '_YYYY_MM');
            perform crm.make_partition(ledger.ledger, name, crm.uuid_from(month),
                crm.uuid_from((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
            perform crm.guard_partition(ledger.ledger, name);
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

-- Makes one partition. What came too late for it, when there was none, is moved there from the default partition, while neither table
-- is a part of the ledger: nothing of that is news to those who follow the ledger.
create function crm.make_partition(ledger text, name text, low uuid, high uuid) returns void
language plpgsql as $$
declare
    key text := (
        select a.attname from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
        where p.partrelid = format('crm.%I', ledger)::regclass);
    late boolean;
begin
    execute format('create table crm.%I (like crm.%I including defaults including constraints)', name, ledger);
    execute format('select exists (select from crm.%I where %I >= $1 and %2$I < $2)', ledger || '_default', key) into late using low, high;
    if late then
        execute format('alter table crm.%I detach partition crm.%I', ledger, ledger || '_default');
        execute format('with late as (delete from crm.%I where %I >= $1 and %2$I < $2 returning *) insert into crm.%3$I select * from late',
            ledger || '_default', key, name) using low, high;
    end if;
    execute format('alter table crm.%I attach partition crm.%I for values from (%L) to (%L)', ledger, name, low, high);
    if late then
        execute format('alter table crm.%I attach partition crm.%I default', ledger, ledger || '_default');
    end if;
end
$$;

-- Gives a partition the triggers of its ledger that are for statements: those fire for the table that a statement names.
create function crm.guard_partition(ledger text, name text) returns void
language plpgsql as $$
declare
    definition text;
begin
    for definition in
        select pg_get_triggerdef(t.oid) from pg_trigger t
        where t.tgrelid = format('crm.%I', ledger)::regclass and not t.tgisinternal and t.tgtype & 1 = 0
    loop
        execute replace(definition, format(' ON crm.%I ', ledger), format(' ON crm.%I ', name));
    end loop;
    execute format('comment on table crm.%I is %L', name, 'Part of ' || ledger || '.');
end
$$;

-- Drops the partitions of a ledger that hold nothing of the last so many whole months; gives their number.
create function crm.drop_partitions(ledger text, keep_months int) returns int
language plpgsql as $$
declare
    name text;
    dropped int := 0;
begin
    if keep_months < 1 then
        raise exception 'at least one month is kept' using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(hashtext('crm.make_partitions'));
    for name in
        select l.name from crm.ledger_partitions() l
        where l.ledger = drop_partitions.ledger
            and l.until <= (date_trunc('month', now() at time zone 'UTC') - make_interval(months => keep_months)) at time zone 'UTC'
    loop
        execute format('drop table crm.%I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

-- Ledgers refuse changes row by row: such triggers are those of the partitions, too. Whole tables are emptied by statements.
create function crm.guard_ledger(ledger text) returns void
language plpgsql as $$
begin
    execute format('create trigger append_only before update or delete on crm.%I for each row execute function crm.append_only()', ledger);
    execute format('create trigger no_truncate before truncate on crm.%I for each statement execute function crm.append_only()', ledger);
end
$$;

-- The points ledger: what there is becomes the first partition, up to the end of this month.
do $$
declare
    bound uuid := crm.uuid_from((date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC');
    publication text;
begin
    alter table crm.points_ledger rename to points_ledger_before;
    alter index crm.points_ledger_pkey rename to points_ledger_before_pkey;
    drop index crm.points_ledger_account_id_idx, crm.points_ledger_order_id_idx;
    drop trigger append_only on crm.points_ledger_before;
    drop trigger points_balance on crm.points_ledger_before;
    create table crm.points_ledger (like crm.points_ledger_before including defaults including constraints, primary key (entry_id, side))
        partition by range (entry_id);
    create table crm.points_ledger_default partition of crm.points_ledger default;
    -- Random ids of old that lie after the bound.
    with late as (delete from crm.points_ledger_before b where b.entry_id >= bound returning b.*)
    insert into crm.points_ledger_default select * from late;
    execute format('alter table crm.points_ledger attach partition crm.points_ledger_before for values from (minvalue) to (%L)', bound);
    -- The side of the house has no account that is looked at by row.
    create index points_ledger_account on crm.points_ledger (account_id) where member_id is not null;
    create index points_ledger_order on crm.points_ledger (order_id) where member_id is not null;
    create trigger points_balance after insert on crm.points_ledger
        referencing new table as added for each statement execute function crm.points_balance();
    perform crm.guard_ledger('points_ledger');
    perform crm.guard_partition('points_ledger', 'points_ledger_before'), crm.guard_partition('points_ledger', 'points_ledger_default');
    for publication in
        select p.pubname from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
        where r.prrelid = 'crm.points_ledger_before'::regclass
    loop
        execute format('alter publication %I drop table crm.points_ledger_before', publication);
        execute format('alter publication %I add table crm.points_ledger', publication);
    end loop;
end
$$;
