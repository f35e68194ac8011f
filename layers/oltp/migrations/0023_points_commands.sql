-- Points, continued: merges of members, and the commands.

-- Gives all points of a member to another, as one entry: whatever it has, is waiting for, has reserved and owes. Both are locked.
create function crm.move_points(from_member uuid, into_member uuid, merge uuid) returns void
language plpgsql as $$
declare
    had jsonb;
begin
    perform crm.lock_points(array[from_member, into_member]);
    perform crm.settle_points(from_member, now()), crm.settle_points(into_member, now());
    select jsonb_object_agg(k, crm.points_on(k, from_member)) into had from unnest('{member,pending,reserved,owed}'::text[]) k;
    insert into crm.points_merge (merge_id, member_id, from_member_id, undated, owed, merged_at)
    values (merge, into_member, from_member, (had ->> 'member')::bigint - (
            select coalesce(sum(l.remaining), 0) from crm.points_lot l
            where l.member_id = from_member and not l.pending and l.remaining > 0), (had ->> 'owed')::bigint, now());
    -- A lot that a reservation took from comes along, too: the points may go back to it.
    insert into crm.points_merge_part (merge_id, part_id, kind, pending, last_use)
    select merge, l.lot_id, 'lot', l.pending, coalesce((select max(u.use_id) from crm.points_lot_use u where u.lot_id = l.lot_id), 0)
    from crm.points_lot l
    where l.lot_id = any (array(
        select l.lot_id from crm.points_lot l where l.member_id = from_member and not l.pending and l.remaining > 0
        union
        select l.lot_id from crm.points_lot l where l.member_id = from_member and l.pending
        union
        select u.lot_id from crm.points_reservation r join crm.points_lot_use u on u.origin_id = r.reservation_id
        where r.member_id = from_member and r.status = 'held'))
    union all
    select merge, r.reservation_id, 'reservation', false, 0 from crm.points_reservation r
    where r.member_id = from_member and r.status = 'held';
    update crm.points_lot l set member_id = into_member
    from crm.points_merge_part p where p.merge_id = merge and p.kind = 'lot' and l.lot_id = p.part_id;
    update crm.points_reservation r set member_id = into_member where r.member_id = from_member and r.status = 'held';
    if exists (select from jsonb_each_text(had) h where h.value <> '0') then
        perform crm.points_entry(crm.uuid7(), 'merge', now(), array(
            select row (h.key, m.id, h.value::bigint * m.sign)::crm.points_side
            from jsonb_each_text(had) h cross join (values (from_member, -1), (into_member, 1)) m (id, sign)),
            jsonb_build_object('origin_id', merge));
    end if;
    perform crm.repay_points(into_member, now());
end
$$;

-- What a member that was merged would have by now had it been left alone: what its lots would hold, and its other points, with
-- what came back from its reservations. Gives the lots of that state, and a row without a lot for what does not expire.
create function crm.unmerged_points(merge crm.points_merge) returns table (lot_id uuid, pending boolean, points bigint)
language plpgsql stable as $$
begin
    return query
    with part as (
        select l.lot_id, p.pending as waited, l.expires_at,
            -- A lot that is there is what it says; one that is used up was pending as long as it is not time.
            case when l.remaining > 0 then l.pending else p.pending and l.available_at > now() end as waits, l.points - (
            select coalesce(sum(u.points), 0)::bigint from crm.points_lot_use u
            where u.lot_id = l.lot_id and (u.use_id <= p.last_use or u.points < 0 and exists (
                select from crm.points_lot_use f
                where (f.lot_id, f.origin_id) = (u.lot_id, u.origin_id) and f.use_id <= p.last_use))) as points
        from crm.points_merge_part p join crm.points_lot l on l.lot_id = p.part_id
        where p.merge_id = merge.merge_id and p.kind = 'lot' and l.member_id = crm.owner_of(merge.member_id)
    )
    select p.lot_id, p.waits, p.points from part p where p.points > 0 and (p.waits or p.expires_at > now())
    union all
    select null, false, merge.undated
        + (select coalesce(sum(p.points), 0)::bigint from part p where p.waited and not p.waits and p.expires_at is null)
        + (select coalesce(sum(r.points - r.captured + e.refunded - u.held), 0)::bigint
            from crm.points_merge_part p join crm.points_reservation r on r.reservation_id = p.part_id
            cross join lateral (
                select coalesce(-sum(u.points) filter (where u.points < 0), 0)::bigint as held from crm.points_lot_use u
                where u.origin_id = r.reservation_id) u
            cross join lateral (
                select coalesce(sum(e.points), 0)::bigint as refunded from crm.points_ledger e
                where e.origin_id = r.reservation_id and e.type = 'refund' and e.member_id is not null) e
            where p.merge_id = merge.merge_id and p.kind = 'reservation' and r.status <> 'held');
end
$$;

-- Undoes a merge: the member gets what it would have had it been left alone, and the one that it was merged into pays for it, in
-- debt where it must. Points of orders are brought right by `crm.post_points` when the orders have their owner again.
create function crm.unmove_points(merge uuid) returns void
language plpgsql as $$
declare
    kept crm.points_merge;
    payer uuid;
    entry uuid := crm.uuid7();
    back jsonb;
    reserved bigint;
    waiting bigint;
    live bigint;
    due bigint;
    spent bigint;
    sides crm.points_side[];
begin
    select * into strict kept from crm.points_merge m where m.merge_id = merge and m.undone_at is null;
    payer := crm.owner_of(kept.member_id);
    perform crm.lock_points(array[payer, kept.from_member_id]);
    perform crm.settle_points(payer, now());
    select jsonb_agg(to_jsonb(b)) into back from crm.unmerged_points(kept) b;
    select coalesce(sum(r.points), 0) into reserved
    from crm.points_merge_part p join crm.points_reservation r on r.reservation_id = p.part_id
    where p.merge_id = merge and p.kind = 'reservation' and r.status = 'held' and r.member_id = payer;
    select coalesce(sum(l.remaining) filter (where l.pending), 0), coalesce(sum(l.remaining) filter (where not l.pending), 0)
    into waiting, live
    from crm.points_merge_part p join crm.points_lot l on l.lot_id = p.part_id
    where p.merge_id = merge and p.kind = 'lot' and l.member_id = payer;
    -- What it costs beside what is there as it came.
    select coalesce(sum(b.points), 0) + kept.owed - waiting into due from jsonb_to_recordset(back) b (points bigint);
    spent := least(due, crm.points_on('member', payer));
    perform crm.return_parts(kept, payer, entry, back);
    -- Its own lots have left; what they do not hold comes from the payer's.
    perform crm.take_lots(payer, greatest(spent - live, 0), entry, entry, now(), null);
    sides := array(
        select row (case when b.pending then 'pending' else 'member' end, kept.from_member_id, sum(b.points))::crm.points_side
        from jsonb_to_recordset(back) b (pending boolean, points bigint) group by b.pending)
        || array[row ('reserved', kept.from_member_id, reserved), row ('owed', kept.from_member_id, kept.owed),
            row ('reserved', payer, -reserved), row ('pending', payer, -waiting), row ('member', payer, -spent),
            row ('owed', payer, spent - due)]::crm.points_side[];
    if exists (select from unnest(sides) s where s.points <> 0) then
        perform crm.points_entry(entry, 'unmerge', now(), sides, jsonb_build_object('origin_id', merge));
    end if;
    perform crm.repay_points(payer, now()), crm.repay_points(kept.from_member_id, now());
    update crm.points_merge m set undone_at = now() where m.merge_id = merge;
end
$$;

-- Gives the lots and reservations of a merge back to whom they came from. What was taken from its lots since counts as taken from
-- lots of the payer, which may get it back one day.
create function crm.return_parts(merge crm.points_merge, payer uuid, entry uuid, back jsonb) returns void
language plpgsql as $$
declare
    part record;
    stand_in uuid;
begin
    update crm.points_lot l set member_id = merge.from_member_id
    from crm.points_merge_part p
    where p.merge_id = merge.merge_id and p.kind = 'lot' and l.lot_id = p.part_id and l.member_id = payer;
    for part in
        select l.*, p.last_use, b.points as holds, b.pending as waits
        from jsonb_to_recordset(back) b (lot_id uuid, pending boolean, points bigint)
        join crm.points_lot l on l.lot_id = b.lot_id
        join crm.points_merge_part p on p.merge_id = merge.merge_id and p.part_id = l.lot_id
        where l.remaining <> b.points
    loop
        stand_in := crm.uuid7();
        insert into crm.points_lot (lot_id, member_id, entry_id, points, remaining, pending, available_at, expires_at, created_at)
        values (stand_in, payer, entry, part.holds - part.remaining, 0, false, part.available_at, part.expires_at, now());
        insert into crm.points_lot_use (lot_id, member_id, entry_id, origin_id, points, at)
        select s.lot_id, s.member_id, entry, u.origin_id, u.points * s.sign, now()
        from (
            select u.origin_id, sum(u.points)::bigint as points from crm.points_lot_use u
            where u.lot_id = part.lot_id group by u.origin_id
            having min(u.use_id) > part.last_use and sum(u.points) <> 0) u
        cross join (values (part.lot_id, merge.from_member_id, -1), (stand_in, payer, 1)) s (lot_id, member_id, sign);
        update crm.points_lot l set remaining = part.holds, pending = part.waits where l.lot_id = part.lot_id;
    end loop;
    update crm.points_reservation r set member_id = merge.from_member_id
    from crm.points_merge_part p
    where p.merge_id = merge.merge_id and p.kind = 'reservation' and r.reservation_id = p.part_id and r.member_id = payer;
end
$$;

-- A rule of points. It starts a minute ahead at the earliest: no transaction that posts by the rule before it is longer than that.
create function crm.do_points_program(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    old crm.points_program;
    since timestamptz;
    stored crm.points_program;
    answers jsonb := '[]';
begin
    for item in
        select x.i, x.c, x.id, b.*
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (program_code text, valid_from timestamptz, earn_points bigint,
            earn_units bigint, pending_days int, expiry_days int, transfer_points_max bigint, transfer_day_points_max bigint)
    loop
        since := coalesce(item.valid_from, now() + interval '1 minute');
        -- Rules are few and change seldom: one at a time.
        lock table crm.points_program in share row exclusive mode;
        select * into old from crm.points_program p
        where p.program_code = item.program_code and p.valid_from <= since order by p.valid_from desc limit 1;
        if (old.earn_points, old.earn_units, old.pending_days, old.expiry_days, old.transfer_points_max, old.transfer_day_points_max)
            is not distinct from (item.earn_points, item.earn_units, coalesce(item.pending_days, 0), item.expiry_days,
                item.transfer_points_max, item.transfer_day_points_max) then
            answers := answers || crm.answer(item.i, item.c, 'points_program', old.program_id, 'unchanged', old.row_version);
            continue;
        end if;
        if since < now() + interval '1 minute' and old.program_id is not null then
            answers := answers || crm.fault(item.i, 'too_early', '/valid_from',
                'a rule starts a minute ahead at the earliest: what was earned by the rule before it stays');
            continue;
        end if;
        insert into crm.points_program as t (program_id, program_code, valid_from, earn_points, earn_units, pending_days,
            expiry_days, transfer_points_max, transfer_day_points_max)
        values (item.id, item.program_code, since, item.earn_points, item.earn_units, coalesce(item.pending_days, 0),
            item.expiry_days, item.transfer_points_max, item.transfer_day_points_max)
        on conflict (program_code, valid_from) do update set earn_points = excluded.earn_points, earn_units = excluded.earn_units,
            pending_days = excluded.pending_days, expiry_days = excluded.expiry_days,
            transfer_points_max = excluded.transfer_points_max, transfer_day_points_max = excluded.transfer_day_points_max,
            row_version = t.row_version + 1, updated_at = now()
        returning * into stored;
        answers := answers || crm.answer(item.i, item.c, 'points_program', stored.program_id,
            case stored.row_version when 1 then 'created' else 'updated' end, stored.row_version);
    end loop;
    return answers;
end
$$;

-- The member that a command names: {"member_no"} or {"kind", "token"}; null if there is none.
create function crm.points_owner(named jsonb) returns uuid
language plpgsql stable as $$
begin
    if named ? 'member_no' then
        return (select m.member_id from crm.member m where m.member_no = named ->> 'member_no');
    end if;
    return (
        select h.member_id from crm.member_identity h
        where (h.kind, h.token) = (named ->> 'kind', named ->> 'token') and h.strength = 'strong');
end
$$;

-- What is wrong with a member that a command names, if something is.
create function crm.points_refused(i int, member uuid, pointer text) returns jsonb
language plpgsql stable as $$
declare
    status text;
begin
    if member is null then
        return crm.fault(i, 'unknown_member', pointer, 'there is no such member; put the member first');
    end if;
    select m.status into status from crm.member m where m.member_id = member;
    return case when status <> 'active'
        then crm.fault(i, 'member_closed', pointer, 'this member is ' || status || ': its points do not move') end;
end
$$;

-- The commands that move points, in the order in which they came; all members are locked first.
create function crm.do_points(items jsonb) returns jsonb
language plpgsql as $$
declare
    item record;
    answer jsonb;
    answers jsonb := '[]';
    members uuid[];
begin
    select array_agg(m.member) into members
    from jsonb_to_recordset(items) as x (b jsonb)
    cross join lateral (values (crm.points_owner(x.b -> 'member')), (crm.points_owner(x.b -> 'to')),
        ((select r.member_id from crm.points_reservation r where r.reservation_id = (x.b ->> 'reservation_id')::uuid)),
        ((select l.member_id from crm.points_ledger l where l.entry_id = (x.b ->> 'entry_id')::uuid and l.side = 1))) m (member)
    where m.member is not null;
    perform crm.lock_points(members);
    for item in
        select x.i, x.c, x.id, x.b, x.b ->> 'act' as act, crm.points_owner(x.b -> 'member') as member
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
    loop
        answer := case when item.act not in ('capture', 'release', 'refund')
            then crm.points_refused(item.i, item.member, '/member') end;
        if answer is null then
            perform crm.settle_points(item.member, now());
            answer := case item.act
                when 'earn' then crm.earn_points(item.i, item.c, item.id, item.member, item.b)
                when 'burn' then crm.burn_points(item.i, item.c, item.id, item.member, item.b)
                when 'adjust' then crm.adjust_points(item.i, item.c, item.id, item.member, item.b)
                when 'reserve' then crm.reserve_points(item.i, item.c, item.id, item.member, item.b)
                when 'transfer' then crm.transfer_points(item.i, item.c, item.id, item.member, item.b)
                when 'refund' then crm.refund_points(item.i, item.c, item.id, item.b)
                else crm.close_points(item.i, item.c, item.id, item.b) end;
        end if;
        answers := answers || answer;
    end loop;
    perform crm.place_tiers(members);
    return answers;
end
$$;

-- The answer to a command on points: the entry or reservation, and what the member has by now.
create function crm.points_told(i int, c jsonb, entity text, id uuid, version bigint, member uuid, more jsonb) returns jsonb
language plpgsql as $$
begin
    return crm.acted(i, c, entity, id, case version when 1 then 'created' else 'updated' end, version,
        jsonb_build_object('member_id', member) || crm.points_now(member, now()) || coalesce(more, '{}'));
end
$$;

create function crm.short_of_points(i int, has bigint) returns jsonb
language plpgsql stable as $$
begin
    return crm.fault(i, 'insufficient_points', '/points', 'there are ' || has || ' points to spend');
end
$$;

-- Points for anything but an order.
create function crm.earn_points(i int, c jsonb, id uuid, member uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    rule crm.points_program;
    from_at timestamptz;
begin
    select * into rule from crm.points_program p
    where p.program_code = coalesce(b ->> 'program_code', 'default') and p.valid_from <= now() order by p.valid_from desc limit 1;
    if rule.program_id is null then
        return crm.fault(i, 'unknown_program', '/program_code', 'there is no such programme of points in force');
    end if;
    from_at := now() + make_interval(hours => 24 * rule.pending_days);
    perform crm.credit_points(id, 'earn', 'issuance', member, (b ->> 'points')::bigint, from_at,
        coalesce((b ->> 'expires_at')::timestamptz, from_at + make_interval(hours => 24 * rule.expiry_days)), null, b);
    return crm.points_told(i, c, 'points_entry', id, 1, member, null);
end
$$;

create function crm.burn_points(i int, c jsonb, id uuid, member uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    points bigint := (b ->> 'points')::bigint;
    has bigint := crm.points_on('member', member);
begin
    if has < points then
        return crm.short_of_points(i, has);
    end if;
    perform crm.points_entry(id, 'burn', now(),
        array[row ('member', member, -points), row ('redemption', null, points)]::crm.points_side[], b);
    perform crm.take_lots(member, points, id, id, now(), null);
    return crm.points_told(i, c, 'points_entry', id, 1, member, null);
end
$$;

create function crm.adjust_points(i int, c jsonb, id uuid, member uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    points bigint := (b ->> 'points')::bigint;
    has bigint := crm.points_on('member', member);
begin
    if points > 0 then
        perform crm.credit_points(id, 'adjust', 'adjustment', member, points, now(), (b ->> 'expires_at')::timestamptz, null, b);
    elsif has < -points then
        return crm.short_of_points(i, has);
    else
        perform crm.points_entry(id, 'adjust', now(),
            array[row ('member', member, points), row ('adjustment', null, -points)]::crm.points_side[], b);
        perform crm.take_lots(member, -points, id, id, now(), null);
    end if;
    return crm.points_told(i, c, 'points_entry', id, 1, member, null);
end
$$;

create function crm.reserve_points(i int, c jsonb, id uuid, member uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    points bigint := (b ->> 'points')::bigint;
    has bigint := crm.points_on('member', member);
    entry uuid := crm.uuid7();
    until timestamptz := now() + make_interval(secs => (b ->> 'hold_s')::int);
begin
    if has < points then
        return crm.short_of_points(i, has);
    end if;
    insert into crm.points_reservation (reservation_id, member_id, points, expires_at, reference)
    values (id, member, points, until, b ->> 'reference');
    perform crm.points_entry(entry, 'reserve', now(),
        array[row ('member', member, -points), row ('reserved', member, points)]::crm.points_side[],
        b || jsonb_build_object('origin_id', id));
    perform crm.take_lots(member, points, entry, id, now(), null);
    return crm.points_told(i, c, 'points_reservation', id, 1, member, jsonb_build_object('expires_at', until));
end
$$;

-- Captures a reservation, whole or in part, or releases it.
create function crm.close_points(i int, c jsonb, id uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    held crm.points_reservation;
    owner uuid;
    points bigint := 0;
begin
    select * into held from crm.points_reservation r where r.reservation_id = (b ->> 'reservation_id')::uuid;
    if held.reservation_id is null then
        return crm.fault(i, 'unknown_reservation', '/reservation_id', 'there is no such reservation of points');
    end if;
    perform crm.lock_points(array[held.member_id]);
    perform crm.settle_points(held.member_id, now());
    owner := held.member_id;
    select * into held from crm.points_reservation r where r.reservation_id = held.reservation_id;
    if held.member_id <> owner then
        raise exception 'the member was merged at the same moment' using errcode = 'serialization_failure';
    end if;
    if held.status <> 'held' then
        return crm.fault(i, 'reservation_over', '/reservation_id', 'this reservation is ' || held.status);
    end if;
    if b ->> 'act' = 'capture' then
        points := coalesce((b ->> 'points')::bigint, held.points);
        if points > held.points then
            return crm.fault(i, 'insufficient_points', '/points', held.points || ' points are reserved');
        end if;
    end if;
    perform crm.end_reservation(held, points, case when points > 0 then 'captured' else 'released' end, id, now(), b);
    perform crm.settle_points(held.member_id, now(), now());
    return crm.points_told(i, c, 'points_entry', id, 1, held.member_id,
        jsonb_build_object('reservation_id', held.reservation_id, 'captured', points, 'released', held.points - points));
end
$$;

-- Gives back points that were burned or captured, whole or in part.
create function crm.refund_points(i int, c jsonb, id uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    burnt crm.points_ledger;
    origin uuid;
    before bigint;
    points bigint;
    spent bigint;
    owner uuid;
begin
    select * into burnt from crm.points_ledger l
    where l.entry_id = (b ->> 'entry_id')::uuid and l.side = 1 and l.type in ('burn', 'capture');
    if burnt.entry_id is null then
        return crm.fault(i, 'unknown_entry', '/entry_id', 'there is no such entry that spent points');
    end if;
    -- A capture is undone under its reservation, whose lots it used.
    origin := coalesce(burnt.origin_id, burnt.entry_id);
    spent := -burnt.points;
    owner := crm.owner_of(coalesce((
        select r.member_id from crm.points_reservation r where r.reservation_id = origin), burnt.member_id));
    perform crm.lock_points(array[owner]);
    select coalesce(sum(l.points), 0) into before from crm.points_ledger l
    where l.origin_id = origin and l.type = 'refund' and l.member_id is not null;
    points := coalesce((b ->> 'points')::bigint, spent - before);
    if points < 1 or points > spent - before then
        return crm.fault(i, 'over_refund', '/points', (spent - before) || ' points of this entry have not come back yet');
    end if;
    perform crm.settle_points(owner, now());
    perform crm.points_entry(id, 'refund', now(), array[row ('member', owner, points),
        row ('redemption', null, -points)]::crm.points_side[], b || jsonb_build_object('origin_id', origin));
    perform crm.give_back(owner, origin, spent - before, points, id, now());
    perform crm.repay_points(owner, now());
    perform crm.settle_points(owner, now(), now());
    return crm.points_told(i, c, 'points_entry', id, 1, owner, null);
end
$$;

-- Gives points of a member to another; each part expires when it would have.
create function crm.transfer_points(i int, c jsonb, id uuid, member uuid, b jsonb) returns jsonb
language plpgsql as $$
declare
    points bigint := (b ->> 'points')::bigint;
    receiver uuid := crm.points_owner(b -> 'to');
    has bigint := crm.points_on('member', member);
    refused jsonb := crm.points_refused(i, receiver, '/to');
    rule crm.points_program;
    day bigint;
begin
    if refused is not null then
        return refused;
    end if;
    if receiver = member then
        return crm.fault(i, 'same_member', '/to', 'points go from one member to another');
    end if;
    select * into rule from crm.points_program p
    where p.program_code = 'default' and p.valid_from <= now() order by p.valid_from desc limit 1;
    select coalesce(-sum(l.points), 0) into day from crm.points_ledger l
    where l.member_id = member and l.type = 'transfer' and l.points < 0 and l.occurred_at > now() - interval '24 hours';
    if points > rule.transfer_points_max or day + points > rule.transfer_day_points_max then
        return crm.fault(i, 'transfer_limit', '/points', 'a member transfers at most '
            || coalesce(rule.transfer_points_max::text, 'any number of') || ' points at once and '
            || coalesce(rule.transfer_day_points_max::text, 'any number') || ' within 24 hours');
    end if;
    if has < points then
        return crm.short_of_points(i, has);
    end if;
    perform crm.settle_points(receiver, now());
    perform crm.points_entry(id, 'transfer', now(),
        array[row ('member', member, -points), row ('member', receiver, points)]::crm.points_side[], b);
    perform crm.take_lots(member, points, id, id, now(), null);
    perform crm.make_lot(receiver, u.points, id, now(), now(), l.expires_at, null)
    from crm.points_lot_use u join crm.points_lot l on l.lot_id = u.lot_id where u.entry_id = id;
    perform crm.repay_points(receiver, now());
    return crm.points_told(i, c, 'points_entry', id, 1, member, jsonb_build_object('to', crm.points_now(receiver, now())));
end
$$;

-- What is owed to members in points at a moment, {"as_of", "spendable", "pending", "reserved", "owed", "undated", "by_expiry":
-- [{"month", "spendable", "pending"}], "by_age": [{"month", "points"}], "months": [{"month", "earned", ...}]}. Months are of UTC.
create function crm.points_liability(as_of timestamptz) returns jsonb
language plpgsql stable as $$
declare
    result jsonb;
begin
    with account as (
        select a.kind, sum(l.points)::bigint as points
        from crm.points_ledger l join crm.points_account a on a.account_id = l.account_id
        where l.member_id is not null and l.occurred_at <= as_of group by a.kind
    ), lot as (
        select l.expires_at, l.created_at, l.available_at > as_of as pending, l.points - (
            select coalesce(sum(u.points), 0)::bigint from crm.points_lot_use u where u.lot_id = l.lot_id and u.at <= as_of) as points,
            -- What fell due and is not booked yet.
            case when l.pending and l.available_at <= as_of then l.remaining else 0 end as came,
            case when l.remaining > 0 and l.expires_at <= as_of then l.remaining else 0 end as went
        from crm.points_lot l where l.created_at <= as_of
    ), held as (
        select expires_at, created_at, pending, case when expires_at <= as_of then 0 else points end as points, came, went from lot
    ), total as (
        select coalesce(max(points) filter (where kind = 'member'), 0) + (select coalesce(sum(came - went), 0) from held) as spendable,
            coalesce(max(points) filter (where kind = 'pending'), 0) - (select coalesce(sum(came), 0) from held) as pending,
            coalesce(max(points) filter (where kind = 'reserved'), 0) as reserved,
            coalesce(max(points) filter (where kind = 'owed'), 0) as owed
        from account
    ), expiry as (
        select to_char(expires_at at time zone 'UTC', 'YYYY-MM') as month,
            coalesce(sum(points) filter (where not pending), 0) as spendable, coalesce(sum(points) filter (where pending), 0) as pending
        from held where points > 0 and expires_at is not null group by 1
    ), age as (
        select to_char(created_at at time zone 'UTC', 'YYYY-MM') as month, sum(points) as points
        from held where points > 0 group by 1
    ), month as (
        select to_char(l.occurred_at at time zone 'UTC', 'YYYY-MM') as month,
            coalesce(-sum(l.points) filter (where a.kind = 'issuance' and l.points < 0), 0) as issued,
            coalesce(sum(l.points) filter (where a.kind = 'issuance' and l.points > 0), 0) as reversed,
            coalesce(sum(l.points) filter (where a.kind = 'redemption' and l.points > 0), 0) as burned,
            coalesce(-sum(l.points) filter (where a.kind = 'redemption' and l.points < 0), 0) as refunded,
            coalesce(sum(l.points) filter (where a.kind = 'expiry'), 0) as expired,
            coalesce(-sum(l.points) filter (where a.kind = 'adjustment'), 0) as adjusted
        from crm.points_ledger l join crm.points_account a on a.account_id = l.account_id
        where l.member_id is null and l.occurred_at <= as_of group by 1
    )
    select to_jsonb(t) || jsonb_build_object('as_of', as_of,
            'undated', t.spendable - (select coalesce(sum(points), 0) from held where not pending),
            'by_expiry', (select coalesce(jsonb_agg(to_jsonb(e) order by e.month), '[]') from expiry e),
            'by_age', (select coalesce(jsonb_agg(to_jsonb(g) order by g.month), '[]') from age g),
            'months', (select coalesce(jsonb_agg(to_jsonb(m) order by m.month), '[]') from month m))
    into result from total t;
    return result;
end
$$;
