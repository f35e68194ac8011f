-- Points: programmes, four accounts a member, lots that expire or are not available yet, reservations, and the commands on them.
--
-- Entries balance, and the balance of an account is what the ledger says: the ledger's trigger moves the balances, nobody else can.
-- A member's row of kind `member` is the lock of all its points: its other accounts, lots and reservations change only under it.
-- What falls due (pending points, expiry, the end of a reservation) is booked at the moment at which it fell due, by whoever comes
-- first: a command settles its member before it does anything, the sweep settles the rest. So it makes no difference when the
-- sweep runs.

create table crm.points_program (
    program_id uuid primary key,
    program_code text not null check (length(program_code) between 1 and 128),
    valid_from timestamptz not null,
    earn_points bigint not null check (earn_points between 0 and 1000000),
    earn_units bigint not null check (earn_units between 1 and 1000000),
    pending_days int not null default 0 check (pending_days between 0 and 3650),
    expiry_days int check (expiry_days between 1 and 36500),
    transfer_points_max bigint check (transfer_points_max >= 0),
    transfer_day_points_max bigint check (transfer_day_points_max >= 0),
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (program_code, valid_from)
);
comment on table crm.points_program is 'Rules of points, each in force from a moment until the next rule of the same programme. Orders go by the programme `default`.';
comment on column crm.points_program.program_id is 'Id of the rule';
comment on column crm.points_program.program_code is 'Code of the programme';
comment on column crm.points_program.valid_from is 'Since when the rule is in force; an order goes by the rule of the time at which it was placed, or made known if that was earlier';
comment on column crm.points_program.earn_points is 'Points for each `earn_units` major units of what stays with the buyer, rounded down';
comment on column crm.points_program.earn_units is 'Major units of money that earn `earn_points`';
comment on column crm.points_program.pending_days is 'Days of 24 hours until earned points can be spent; 0: at once';
comment on column crm.points_program.expiry_days is 'Days of 24 hours that points can be spent; null: for ever';
comment on column crm.points_program.transfer_points_max is 'Most points in one transfer between members; null: any number';
comment on column crm.points_program.transfer_day_points_max is 'Most points that a member may transfer within 24 hours; null: any number';
comment on column crm.points_program.row_version is 'Number of the version of the row, from 1';
comment on column crm.points_program.created_at is 'When the row was made';
comment on column crm.points_program.updated_at is 'When the row was last changed';
insert into crm.points_program (program_id, program_code, valid_from, earn_points, earn_units)
values ('00000000-0000-7000-8000-000000000010', 'default', '1970-01-01T00:00:00Z', 1, 1);

-- Four accounts a member; all but the first are made when they are first needed.
alter table crm.points_account drop constraint points_account_kind_check, drop constraint points_account_check,
    drop constraint points_account_check1;
alter table crm.points_account
    add constraint points_account_kind check (kind in ('member', 'pending', 'reserved', 'owed', 'issuance', 'redemption', 'expiry',
        'adjustment')),
    add constraint points_account_owner check ((kind in ('member', 'pending', 'reserved', 'owed')) = (member_id is not null)),
    add constraint points_account_balance check (case kind when 'member' then balance >= 0 when 'pending' then balance >= 0
        when 'reserved' then balance >= 0 when 'owed' then balance <= 0 else balance = 0 end);
drop index crm.points_account_house, crm.points_account_member;
create unique index points_account_house on crm.points_account (kind) where member_id is null;
create unique index points_account_member on crm.points_account (member_id, kind);
insert into crm.points_account (account_id, kind) values
    ('00000000-0000-7000-8000-000000000003', 'expiry'),
    ('00000000-0000-7000-8000-000000000004', 'adjustment');
comment on column crm.points_account.kind is 'Of a member: member (can be spent), pending (not yet), reserved (for a purchase under way), owed (debt, never above 0). Of the house: issuance, redemption, expiry, adjustment';
comment on column crm.points_account.balance is 'Points; of a member''s account the sum of its ledger rows, of the house''s always 0';

alter table crm.points_ledger drop constraint points_ledger_type_check;
alter table crm.points_ledger
    add constraint points_ledger_type check (type in ('earn', 'activate', 'burn', 'refund', 'reserve', 'capture', 'release', 'expire',
        'reverse', 'repay', 'adjust', 'transfer', 'merge', 'unmerge')),
    add column reason text,
    add column reference text,
    add column origin_id uuid;
create index points_ledger_origin on crm.points_ledger (origin_id) where origin_id is not null;
create index points_ledger_transfer on crm.points_ledger (member_id, occurred_at) where type = 'transfer';
comment on column crm.points_ledger.type is 'earn, activate (pending became spendable), burn, refund (of what was burned or captured), reserve, capture, release, expire, reverse (of what an order earned), repay (of what was owed), adjust, transfer, merge, unmerge';
comment on column crm.points_ledger.order_id is 'The order whose points these are: all rows of an order on members'' accounts add up to what it earns';
comment on column crm.points_ledger.occurred_at is 'When it happened: of what fell due the moment at which it did, whenever it was booked';
comment on column crm.points_ledger.reason is 'Why, as the caller said';
comment on column crm.points_ledger.reference is 'The caller''s own number of what the points are about';
comment on column crm.points_ledger.origin_id is 'The reservation, burnt entry or merge that the entry belongs to';

create table crm.points_lot (
    lot_id uuid primary key,
    member_id uuid not null references crm.member,
    order_id uuid,
    entry_id uuid not null,
    points bigint not null check (points > 0),
    remaining bigint not null check (remaining between 0 and points),
    pending boolean not null,
    available_at timestamptz not null,
    expires_at timestamptz,
    created_at timestamptz not null,
    check (not pending or remaining > 0),
    check (pending or remaining = 0 or expires_at is not null)
);
create index points_lot_member on crm.points_lot (member_id);
create index points_lot_live on crm.points_lot (member_id, expires_at) where remaining > 0 and not pending;
create index points_lot_expiry on crm.points_lot (expires_at) where remaining > 0 and not pending;
create index points_lot_member_pending on crm.points_lot (member_id, available_at) where pending;
create index points_lot_pending on crm.points_lot (available_at) where pending;
create index points_lot_order on crm.points_lot (order_id) where order_id is not null;
alter table crm.points_lot replica identity full;
comment on table crm.points_lot is 'Points that expire or cannot be spent yet. What a member has beyond its lots does not expire.';
comment on column crm.points_lot.lot_id is 'Id of the lot';
comment on column crm.points_lot.member_id is 'Whose points they are; changes when members are merged';
comment on column crm.points_lot.order_id is 'The order that earned them, if one did';
comment on column crm.points_lot.entry_id is 'The entry of the ledger that brought them';
comment on column crm.points_lot.points is 'Points that came';
comment on column crm.points_lot.remaining is 'Points that are left: neither used nor expired';
comment on column crm.points_lot.pending is 'Whether they cannot be spent yet';
comment on column crm.points_lot.available_at is 'Since when they can be spent';
comment on column crm.points_lot.expires_at is 'When what is left expires; null: never, and the lot ends when its points become spendable';
comment on column crm.points_lot.created_at is 'When they were earned';

create table crm.points_lot_use (
    use_id bigint generated always as identity primary key,
    lot_id uuid not null references crm.points_lot,
    member_id uuid not null,
    entry_id uuid not null,
    origin_id uuid not null,
    points bigint not null check (points <> 0),
    at timestamptz not null
);
create index points_lot_use_lot on crm.points_lot_use (lot_id);
create index points_lot_use_origin on crm.points_lot_use (origin_id);
create trigger append_only before update or delete or truncate on crm.points_lot_use
    for each statement execute function crm.append_only();
comment on table crm.points_lot_use is 'What was taken from lots and given back to them. A lot''s points less its uses are what remains.';
comment on column crm.points_lot_use.use_id is 'Number of the row, growing';
comment on column crm.points_lot_use.lot_id is 'The lot';
comment on column crm.points_lot_use.member_id is 'Whose lot it was';
comment on column crm.points_lot_use.entry_id is 'The entry of the ledger that took or gave';
comment on column crm.points_lot_use.origin_id is 'What took the points first: a reservation, else an entry. What comes back names the same one';
comment on column crm.points_lot_use.points is 'Points taken; negative when they were given back';
comment on column crm.points_lot_use.at is 'When';

create table crm.points_reservation (
    reservation_id uuid primary key,
    member_id uuid not null references crm.member,
    points bigint not null check (points > 0),
    captured bigint not null default 0 check (captured between 0 and points),
    status text not null default 'held' check (status in ('held', 'captured', 'released', 'expired')),
    expires_at timestamptz not null,
    reference text,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((status = 'captured') = (captured > 0))
);
create index points_reservation_member on crm.points_reservation (member_id, status, expires_at);
create index points_reservation_due on crm.points_reservation (expires_at) where status = 'held';
alter table crm.points_reservation replica identity full;
comment on table crm.points_reservation is 'Points kept for a purchase under way, until they are captured, released or time is up.';
comment on column crm.points_reservation.reservation_id is 'Id of the reservation';
comment on column crm.points_reservation.member_id is 'Whose points they are; changes when members are merged';
comment on column crm.points_reservation.points is 'Points that were reserved';
comment on column crm.points_reservation.captured is 'Points of them that were spent; the rest went back';
comment on column crm.points_reservation.status is 'held, captured (at least in part), released, or expired (time was up)';
comment on column crm.points_reservation.expires_at is 'When they go back by themselves';
comment on column crm.points_reservation.reference is 'The caller''s own number of the purchase';
comment on column crm.points_reservation.row_version is 'Number of the version of the row, from 1';
comment on column crm.points_reservation.created_at is 'When they were reserved';
comment on column crm.points_reservation.updated_at is 'When the row was last changed';

create table crm.points_merge (
    merge_id uuid primary key,
    member_id uuid not null references crm.member,
    from_member_id uuid not null references crm.member,
    undated bigint not null check (undated >= 0),
    owed bigint not null check (owed <= 0),
    merged_at timestamptz not null,
    undone_at timestamptz
);
comment on table crm.points_merge is 'What a member brought when it was merged into another, so that it can get it back.';
comment on column crm.points_merge.merge_id is 'Id of the merge';
comment on column crm.points_merge.member_id is 'The member that got the points';
comment on column crm.points_merge.from_member_id is 'The member that brought them';
comment on column crm.points_merge.undated is 'Spendable points that do not expire';
comment on column crm.points_merge.owed is 'Points owed, not above 0';
comment on column crm.points_merge.merged_at is 'When they were merged';
comment on column crm.points_merge.undone_at is 'When that was undone, if it was';

create table crm.points_merge_part (
    merge_id uuid not null references crm.points_merge,
    part_id uuid not null,
    kind text not null check (kind in ('lot', 'reservation')),
    pending boolean not null,
    last_use bigint not null,
    primary key (merge_id, part_id)
);
comment on table crm.points_merge_part is 'The lots and reservations that changed hands in a merge.';
comment on column crm.points_merge_part.merge_id is 'The merge';
comment on column crm.points_merge_part.part_id is 'The lot or reservation';
comment on column crm.points_merge_part.kind is 'lot or reservation';
comment on column crm.points_merge_part.pending is 'Whether it was a lot whose points could not be spent yet';
comment on column crm.points_merge_part.last_use is 'The lot''s last use before the merge';

-- The member that a member's points count for: itself, or the one that it was merged into.
create function crm.owner_of(member uuid) returns uuid
language plpgsql stable as $$
begin
    return member;
end
$$;

-- Places members in their tiers, after what they earned has changed.
create function crm.place_tiers(members uuid[]) returns void
language plpgsql as $$
begin
    return;
end
$$;

-- Each entry sums to zero, and moves the balances of members' accounts. A statement writes whole entries, so that this can be
-- checked and done at once.
create or replace function crm.points_balance() returns trigger
language plpgsql as $$
begin
    if exists (select from added group by entry_id having sum(points) <> 0 or count(*) < 2) then
        raise exception 'a points entry does not sum to zero' using errcode = 'integrity_constraint_violation';
    end if;
    update crm.points_account a set balance = a.balance + n.points, updated_at = now()
    from (select account_id, sum(points)::bigint as points from added where member_id is not null group by account_id) n
    where a.account_id = n.account_id and n.points <> 0;
    return null;
end
$$;

-- Nobody but the ledger's trigger moves a balance.
create function crm.points_moved() returns trigger
language plpgsql as $$
begin
    raise exception 'a balance of points moves by the ledger only' using errcode = 'integrity_constraint_violation';
end
$$;
create trigger points_moved before update on crm.points_account for each row
    when (new.balance <> old.balance and pg_trigger_depth() = 0) execute function crm.points_moved();
create trigger points_opened before insert on crm.points_account for each row
    when (new.balance <> 0) execute function crm.points_moved();

-- Locks the points of members, in one order in every transaction.
create function crm.lock_points(members uuid[]) returns void
language plpgsql as $$
begin
    perform from crm.points_account a
    where a.kind = 'member' and a.member_id = any (members)
    order by a.account_id
    for no key update;
end
$$;

-- One side of an entry: a member's account, or the house's where there is no member.
create type crm.points_side as (kind text, member_id uuid, points bigint);

-- Writes an entry; sides of nothing are left out. The members' points are locked.
create function crm.points_entry(entry uuid, type text, at timestamptz, sides crm.points_side[], about jsonb) returns void
language plpgsql as $$
begin
    insert into crm.points_account (account_id, kind, member_id)
    select crm.uuid7(), s.kind, s.member_id from unnest(sides) s
    where s.member_id is not null and s.points <> 0 and not exists (
        select from crm.points_account a where (a.member_id, a.kind) = (s.member_id, s.kind));
    insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at, reason, reference,
        origin_id)
    select entry, (row_number() over ())::smallint, coalesce(
            (select a.account_id from crm.points_account a where (a.member_id, a.kind) = (s.member_id, s.kind)),
            (select a.account_id from crm.points_account a where a.kind = s.kind and a.member_id is null)),
        s.member_id, points_entry.type, s.points, (about ->> 'order_id')::uuid, points_entry.at, about ->> 'reason',
        about ->> 'reference', (about ->> 'origin_id')::uuid
    from unnest(sides) s where s.points <> 0;
end
$$;

-- The balance of one of a member's accounts.
create function crm.points_on(kind text, member uuid) returns bigint
language plpgsql stable as $$
begin
    return coalesce((
        select a.balance from crm.points_account a
        where a.member_id = points_on.member and a.kind = points_on.kind), 0);
end
$$;

-- Makes a lot of points that have just come.
create function crm.make_lot(member uuid, points bigint, entry uuid, at timestamptz, available_at timestamptz, expires_at timestamptz,
    of_order uuid) returns void
language plpgsql as $$
begin
    insert into crm.points_lot (lot_id, member_id, order_id, entry_id, points, remaining, pending, available_at, expires_at, created_at)
    values (crm.uuid7(), member, of_order, entry, points, points, make_lot.available_at > make_lot.at, make_lot.available_at,
        make_lot.expires_at, make_lot.at);
end
$$;

-- Takes points from a lot, or gives some back if `points` is negative.
create function crm.use_lot(lot uuid, points bigint, entry uuid, origin uuid, at timestamptz) returns void
language plpgsql as $$
declare
    owner uuid;
begin
    update crm.points_lot l set remaining = l.remaining - use_lot.points, pending = l.pending and l.remaining > use_lot.points
    where l.lot_id = lot returning l.member_id into owner;
    insert into crm.points_lot_use (lot_id, member_id, entry_id, origin_id, points, at)
    values (lot, owner, entry, origin, use_lot.points, use_lot.at);
end
$$;

-- Takes spendable points from a member's lots: those of an order first, then what expires first, then what is oldest. What the
-- lots do not hold is taken from what does not expire.
create function crm.take_lots(member uuid, points bigint, entry uuid, origin uuid, at timestamptz, of_order uuid) returns void
language plpgsql as $$
declare
    rest bigint := points;
    lot record;
begin
    for lot in
        select l.lot_id, l.remaining from crm.points_lot l
        where l.member_id = member and not l.pending and l.remaining > 0
        order by (l.order_id = of_order) is true desc, l.expires_at, l.created_at, l.lot_id
    loop
        exit when rest = 0;
        perform crm.use_lot(lot.lot_id, least(rest, lot.remaining), entry, origin, at);
        rest := rest - least(rest, lot.remaining);
    end loop;
end
$$;

-- Gives points back to the lots that `origin` took them from, of `outstanding` ones that did not come back yet: first what was in
-- no lot, then what expires last, so that what stays spent is what would have expired first. A lot that is somebody else's by
-- now stays as it is, and the points come as a lot of their own.
create function crm.give_back(member uuid, origin uuid, outstanding bigint, points bigint, entry uuid, at timestamptz) returns void
language plpgsql as $$
declare
    rest bigint;
    part record;
begin
    select give_back.points - outstanding + coalesce(sum(u.points), 0) into rest from crm.points_lot_use u where u.origin_id = origin;
    for part in
        select l.*, u.held from (
            select u.lot_id, sum(u.points)::bigint as held from crm.points_lot_use u where u.origin_id = origin group by u.lot_id) u
        join crm.points_lot l on l.lot_id = u.lot_id
        where u.held > 0
        order by l.expires_at desc nulls first, l.created_at desc, l.lot_id desc
    loop
        exit when rest <= 0;
        perform crm.use_lot(part.lot_id, -least(rest, part.held), entry, origin, at);
        if part.member_id <> member then
            perform crm.use_lot(part.lot_id, least(rest, part.held), entry, entry, at);
            perform crm.make_lot(member, least(rest, part.held), entry, at, at, part.expires_at, null);
        end if;
        rest := rest - least(rest, part.held);
    end loop;
end
$$;

-- Pays what a member owes from what it can spend.
create function crm.repay_points(member uuid, at timestamptz) returns void
language plpgsql as $$
declare
    paid bigint := least(-crm.points_on('owed', member), crm.points_on('member', member));
    entry uuid := crm.uuid7();
begin
    if paid > 0 then
        perform crm.points_entry(entry, 'repay', at,
            array[row ('member', member, -paid), row ('owed', member, paid)]::crm.points_side[], null);
        perform crm.take_lots(member, paid, entry, entry, at, null);
    end if;
end
$$;

-- Ends a reservation: spends `captured` points of it, the rest goes back.
create function crm.end_reservation(held crm.points_reservation, captured bigint, status text, entry uuid, at timestamptz,
    about jsonb) returns void
language plpgsql as $$
declare
    rest bigint := held.points - captured;
    ends jsonb := coalesce(about, '{}') || jsonb_build_object('origin_id', held.reservation_id);
    second uuid := case when captured > 0 then crm.uuid7() else entry end;
begin
    if captured > 0 then
        perform crm.points_entry(entry, 'capture', at,
            array[row ('reserved', held.member_id, -captured), row ('redemption', null, captured)]::crm.points_side[], ends);
    end if;
    if rest > 0 then
        perform crm.points_entry(second, 'release', at,
            array[row ('reserved', held.member_id, -rest), row ('member', held.member_id, rest)]::crm.points_side[], ends);
        perform crm.give_back(held.member_id, held.reservation_id, held.points, rest, second, at);
        perform crm.repay_points(held.member_id, at);
    end if;
    update crm.points_reservation r set status = end_reservation.status, captured = end_reservation.captured,
        row_version = r.row_version + 1, updated_at = now()
    where r.reservation_id = held.reservation_id;
end
$$;

-- What falls due first for a member up to a moment: at one moment, points become spendable before reservations end, and those
-- end before points expire.
create function crm.points_due(member uuid, until timestamptz, out at timestamptz, out step int, out id uuid)
language plpgsql stable as $$
begin
    select d.* into at, step, id from (
        (select l.available_at, 1, l.lot_id from crm.points_lot l
        where l.member_id = member and l.pending and l.available_at <= until
        order by l.available_at, l.lot_id limit 1)
        union all
        (select r.expires_at, 2, r.reservation_id from crm.points_reservation r
        where r.member_id = member and r.status = 'held' and r.expires_at <= until
        order by r.expires_at, r.reservation_id limit 1)
        union all
        (select l.expires_at, 3, l.lot_id from crm.points_lot l
        where l.member_id = member and not l.pending and l.remaining > 0 and l.expires_at <= until
        order by l.expires_at, l.lot_id limit 1)) d (due, step, id)
    order by d.due, d.step, d.id limit 1;
end
$$;

-- Books what fell due for a member up to a moment, in the order in which it did, but not as if it had been before `since`. The
-- member's points are locked.
create function crm.settle_points(member uuid, until timestamptz, since timestamptz default '-infinity') returns void
language plpgsql as $$
declare
    due record;
    lot crm.points_lot;
    entry uuid;
    clock timestamptz := since;
begin
    loop
        select * into due from crm.points_due(member, until);
        exit when due.at is null;
        clock := greatest(clock, due.at);
        entry := crm.uuid7();
        if due.step = 2 then
            perform crm.end_reservation(r, 0, 'expired', entry, clock, null)
            from crm.points_reservation r where r.reservation_id = due.id;
            continue;
        end if;
        select * into strict lot from crm.points_lot l where l.lot_id = due.id;
        clock := greatest(clock, lot.created_at);
        if due.step = 1 then
            perform crm.points_entry(entry, 'activate', clock, array[row ('pending', member, -lot.remaining),
                row ('member', member, lot.remaining)]::crm.points_side[], null);
            if lot.expires_at is null then
                perform crm.use_lot(lot.lot_id, lot.remaining, entry, entry, clock);
            else
                update crm.points_lot l set pending = false where l.lot_id = lot.lot_id;
            end if;
            perform crm.repay_points(member, clock);
        else
            perform crm.points_entry(entry, 'expire', clock, array[row ('member', member, -lot.remaining),
                row ('expiry', null, lot.remaining)]::crm.points_side[], null);
            perform crm.use_lot(lot.lot_id, lot.remaining, entry, entry, clock);
        end if;
    end loop;
end
$$;

-- Settles members for whom something fell due up to a moment; whoever is busy is left for the next time. Gives their number.
create function crm.sweep_points(until timestamptz, most int) returns int
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
    member uuid;
    result int := 0;
begin
    for member in
        select a.member_id from crm.points_account a
        where a.kind = 'member' and a.member_id = any (array(
            select d.member_id from (
                (select l.member_id from crm.points_lot l where l.pending and l.available_at <= until order by l.available_at limit most)
                union
                (select r.member_id from crm.points_reservation r
                where r.status = 'held' and r.expires_at <= until order by r.expires_at limit most)
                union
                (select l.member_id from crm.points_lot l
                where not l.pending and l.remaining > 0 and l.expires_at <= until order by l.expires_at limit most)) d
            limit most))
        order by a.account_id
        for no key update skip locked
    loop
        perform crm.settle_points(member, until);
        result := result + 1;
    end loop;
    return result;
end
$$;

-- What a member has at a moment, with what fell due by then whether or not it is booked yet: {spendable, pending, reserved, owed,
-- expiring_next: {points, at}}.
create function crm.points_now(member uuid, until timestamptz) returns jsonb
language plpgsql stable as $$
declare
    spendable bigint := crm.points_on('member', member);
    pending bigint := crm.points_on('pending', member);
    reserved bigint := crm.points_on('reserved', member);
    owed bigint := crm.points_on('owed', member);
    next_at timestamptz;
    next_points bigint;
    paid bigint;
    part record;
begin
    select l.expires_at, sum(l.remaining) into next_at, next_points from crm.points_lot l
    where l.member_id = member and not l.pending and l.remaining > 0 and l.expires_at > until
    group by l.expires_at order by l.expires_at limit 1;
    spendable := spendable - (
        select coalesce(sum(l.remaining), 0) from crm.points_lot l
        where l.member_id = member and not l.pending and l.remaining > 0 and l.expires_at <= until);
    for part in
        select l.available_at as at, 1 as step, l.lot_id as id, l.remaining as points, l.expires_at from crm.points_lot l
        where l.member_id = member and l.pending and l.available_at <= until
        union all
        select r.expires_at, 2, r.reservation_id, p.points, p.expires_at from crm.points_reservation r
        cross join lateral (
            select sum(u.points)::bigint as points, l.expires_at
            from crm.points_lot_use u join crm.points_lot l on l.lot_id = u.lot_id
            where u.origin_id = r.reservation_id group by u.lot_id, l.expires_at
            union all
            select r.points - coalesce(sum(u.points), 0)::bigint, null
            from crm.points_lot_use u where u.origin_id = r.reservation_id) p
        where r.member_id = member and r.status = 'held' and r.expires_at <= until
        order by 1, 2, 3, 5
    loop
        pending := pending - case part.step when 1 then part.points else 0 end;
        reserved := reserved - case part.step when 2 then part.points else 0 end;
        paid := least(part.points, -owed);
        owed := owed + paid;
        continue when part.expires_at <= until or part.points = paid;
        spendable := spendable + part.points - paid;
        if part.expires_at < next_at or next_at is null then
            next_at := part.expires_at;
            next_points := part.points - paid;
        elsif part.expires_at = next_at then
            next_points := next_points + part.points - paid;
        end if;
    end loop;
    return jsonb_build_object('spendable', spendable, 'pending', pending, 'reserved', reserved, 'owed', owed, 'expiring_next',
        case when next_at is not null then jsonb_build_object('points', next_points, 'at', next_at) end);
end
$$;

-- What an order is short of, or has too much of, where more than two rows are to be written for it.
create type crm.points_ask as (order_id uuid, member_id uuid, points bigint, posted boolean, at timestamptz, pending_days int,
    expiry_days int);

-- Posts what an order is short of: spendable or pending, in a lot if it must be, and what is owed is paid first.
create function crm.post_earned(ask crm.points_ask) returns void
language plpgsql as $$
declare
    entry uuid := crm.uuid7();
    from_at timestamptz := ask.at + make_interval(hours => 24 * ask.pending_days);
    until_at timestamptz := from_at + make_interval(hours => 24 * ask.expiry_days);
begin
    perform crm.credit_points(entry, case when ask.posted then 'adjust' else 'earn' end, 'issuance', ask.member_id, ask.points,
        from_at, until_at, ask.order_id, jsonb_build_object('order_id', ask.order_id));
end
$$;

-- Gives a member points from an account of the house.
create function crm.credit_points(entry uuid, type text, house text, member uuid, points bigint, available_at timestamptz,
    expires_at timestamptz, of_order uuid, about jsonb) returns void
language plpgsql as $$
declare
    waits boolean := coalesce(credit_points.available_at > now(), false);
begin
    perform crm.points_entry(entry, type, now(), array[row (case when waits then 'pending' else 'member' end, member, points),
        row (house, null, -points)]::crm.points_side[], about);
    if waits or expires_at is not null then
        perform crm.make_lot(member, points, entry, now(), greatest(credit_points.available_at, now()), credit_points.expires_at,
            of_order);
    end if;
    if not waits then
        perform crm.repay_points(member, now());
        perform crm.settle_points(member, now(), now());
    end if;
end
$$;

-- Takes back what an order has too much of: from its pending points, from its lots, from what else can be spent; what is not
-- there any more is owed.
create function crm.post_reversed(ask crm.points_ask) returns void
language plpgsql as $$
declare
    entry uuid := crm.uuid7();
    rest bigint := -ask.points;
    waiting bigint := 0;
    spent bigint;
    lot record;
begin
    for lot in
        select l.lot_id, l.remaining from crm.points_lot l
        where l.order_id = ask.order_id and l.member_id = ask.member_id and l.pending order by l.available_at desc, l.lot_id desc
    loop
        exit when rest = waiting;
        perform crm.use_lot(lot.lot_id, least(rest - waiting, lot.remaining), entry, entry, now());
        waiting := waiting + least(rest - waiting, lot.remaining);
    end loop;
    spent := least(rest - waiting, crm.points_on('member', ask.member_id));
    perform crm.points_entry(entry, 'reverse', now(), array[row ('pending', ask.member_id, -waiting),
        row ('member', ask.member_id, -spent), row ('owed', ask.member_id, waiting + spent - rest),
        row ('issuance', null, rest)]::crm.points_side[], jsonb_build_object('order_id', ask.order_id));
    perform crm.take_lots(ask.member_id, spent, entry, entry, now(), ask.order_id);
end
$$;

-- Brings the points of orders to what they should be now, while they count as bought; each order's row is locked by the caller.
-- The rule is that of the time at which an order was placed, or made known if that was earlier. An order that this transaction made
-- has no points yet: those of a member who owes nothing, if they neither wait nor expire, take two statements, the lock and the
-- entry. What the second one reads of the member, it reads behind the lock.
create or replace function crm.post_points(orders uuid[]) returns void
language plpgsql as $$
declare
    owner uuid;
    done boolean;
begin
    if cardinality(orders) = 1 then
        perform from crm.points_account a
        where a.kind = 'member' and a.member_id = (
            select o.member_id from crm.sales_order o
            where o.order_id = orders[1] and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid)
        for no key update;
        with made as materialized (
            select o.order_id, o.member_id, p.pending_days = 0 and p.expiry_days is null as plain,
                case when crm.bought(o.status) then div(greatest(o.net_minor, 0)::numeric * p.earn_points,
                    p.earn_units * crm.major(o.currency))::bigint else 0 end as points,
                (select a.account_id from crm.points_account a where a.member_id = o.member_id and a.kind = 'member') as account_id,
                coalesce((select a.balance from crm.points_account a where a.member_id = o.member_id and a.kind = 'owed'), 0) = 0
                    and (select m.status from crm.member m where m.member_id = o.member_id) <> 'merged' as free
            from crm.sales_order o
            cross join lateral (
                select * from crm.points_program p
                where p.program_code = 'default' and p.valid_from <= least(o.placed_at, o.created_at)
                order by p.valid_from desc limit 1) p
            where o.order_id = orders[1] and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid
        ), ledger as (
            insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
            select e.entry_id, s.side, case s.side when 1 then e.account_id else '00000000-0000-7000-8000-000000000001' end,
                case s.side when 1 then e.member_id end, 'earn', case s.side when 1 then e.points else -e.points end, e.order_id, now()
            from (select crm.uuid7() as entry_id, m.* from made m where m.plain and m.free and m.points > 0) e
            cross join (values (1), (2)) s (side)
        )
        select m.member_id, m.member_id is null or m.points = 0 or (m.plain and m.free) into owner, done from made m;
    end if;
    if done is not true then
        perform crm.post_points_again(orders);
    elsif owner is not null then
        perform crm.place_tiers(array[owner]);
    end if;
end
$$;

-- Points of orders that may have some already, or whose points need more than two rows: writes the difference to what was posted.
create or replace function crm.post_points_again(orders uuid[]) returns void
language plpgsql as $$
declare
    owners uuid[];
    merged boolean;
    moved boolean;
    asks crm.points_ask[];
    ask crm.points_ask;
begin
    select array_agg(m.member_id) into owners from (
        select o.member_id from crm.sales_order o where o.order_id = any (orders) and o.member_id is not null
        union
        select l.member_id from crm.points_ledger l where l.order_id = any (orders) and l.member_id is not null) m;
    if owners is null then
        return;
    end if;
    perform crm.lock_points(owners);
    -- All of a member that was merged counts for the one that it was merged into.
    merged := exists (select from crm.member m where m.member_id = any (owners) and m.status = 'merged');
    if merged then
        owners := array(select crm.owner_of(m) from unnest(owners) m);
        perform crm.lock_points(owners);
    end if;
    with due as (
        select o.order_id, case when merged then crm.owner_of(o.member_id) else o.member_id end as member_id, false as posted,
            least(o.placed_at, o.created_at) as at, p.pending_days, p.expiry_days, case when crm.bought(o.status)
                then div(greatest(o.net_minor - coalesce(r.net_minor, 0), 0)::numeric * p.earn_points,
                    p.earn_units * crm.major(o.currency)) else 0 end as points
        from crm.sales_order o
        cross join lateral (
            select * from crm.points_program p
            where p.program_code = 'default' and p.valid_from <= least(o.placed_at, o.created_at)
            order by p.valid_from desc limit 1) p
        left join lateral (
            select sum(r.net_minor) as net_minor from crm.sales_return r
            where r.order_id = o.order_id and r.status = 'completed') r on true
        where o.order_id = any (orders) and o.member_id is not null
        union all
        select l.order_id, case when merged then crm.owner_of(l.member_id) else l.member_id end, true, null, null, null, -l.points
        from crm.points_ledger l
        where l.order_id = any (orders) and l.member_id is not null
    ), asked as materialized (
        -- By scalar queries: a join might be planned, for ever, as if there were hardly any accounts.
        select crm.uuid7() as entry_id, d.*, (
                select a.account_id from crm.points_account a where a.member_id = d.member_id and a.kind = 'member') as account_id,
            d.points < 0 or d.pending_days > 0 or d.expiry_days is not null or (
                select a.balance < 0 from crm.points_account a where a.member_id = d.member_id and a.kind = 'owed') as slow
        from (
            select d.order_id, d.member_id, sum(d.points)::bigint as points, bool_or(d.posted) as posted, min(d.at) as at,
                min(d.pending_days) as pending_days, min(d.expiry_days) as expiry_days
            from due d group by d.order_id, d.member_id having sum(d.points) <> 0) d
    ), ledger as (
        -- Most orders are new, of somebody who owes nothing, and earn what does not expire: all of these at once.
        insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
        select e.entry_id, s.side, case s.side when 1 then e.account_id else '00000000-0000-7000-8000-000000000001' end,
            case s.side when 1 then e.member_id end, case when e.posted then 'adjust' else 'earn' end,
            case s.side when 1 then e.points else -e.points end, e.order_id, now()
        from asked e cross join (values (1), (2)) s (side) where e.slow is not true
    )
    select bool_or(e.member_id <> all (owners)),
        array_agg(row (e.order_id, e.member_id, e.points, e.posted, e.at, e.pending_days, e.expiry_days)::crm.points_ask
            order by e.account_id, e.points, e.order_id) filter (where e.slow)
    into moved, asks from asked e;
    if moved then
        raise exception 'a member was merged at the same moment' using errcode = 'serialization_failure';
    end if;
    foreach ask in array coalesce(asks, '{}') loop
        perform crm.settle_points(ask.member_id, now());
        if ask.points < 0 then
            perform crm.post_reversed(ask);
        else
            perform crm.post_earned(ask);
        end if;
    end loop;
    perform crm.place_tiers(owners);
end
$$;
