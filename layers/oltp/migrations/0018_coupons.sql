-- Coupons: definitions with their rules, issued codes, their uses, and the ledger of all that happened to them.
--
-- Who decides what: `crm.judge_coupons` is the one place for the arithmetic of carts, and is the same for a question (validate) and
-- for a use (reserve, redeem). A use takes its locks first, in one order: the order's row, a shared advisory lock on each definition
-- (a changed definition waits for the uses under way, so that no use goes by a rule that is gone, and a definition that has no limits is
-- locked by no row), the coupons, the member where a rule is about members, and last what is left of a definition's limits; each sorted.
--
-- A code is worth money to whoever reads it, so that it stays in `coupon_code`, outside the publication. What travels shows the whole
-- code where it is public, and the last four characters where it is not.

set local search_path = crm;

create table coupon_definition (
    definition_id uuid primary key,
    definition_code text not null unique check (length(definition_code) between 1 and 128),
    title text not null,
    kind text not null check (kind in ('unique', 'public')),
    status text not null check (status in ('draft', 'active', 'paused', 'ended')),
    discount_type text not null check (discount_type in ('percent', 'amount', 'shipping')),
    percent_bp int check (percent_bp between 1 and 10000),
    amount_minor bigint check (amount_minor > 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    max_discount_minor bigint check (max_discount_minor > 0),
    min_spend_minor bigint check (min_spend_minor > 0),
    min_quantity numeric(18, 4) check (min_quantity > 0),
    valid_from timestamptz,
    valid_to timestamptz,
    validity_days int check (validity_days between 1 and 36500),
    tier_codes text[] not null default '{}',
    members_only boolean not null default false,
    first_order_only boolean not null default false,
    include jsonb not null default '{}',
    exclude jsonb not null default '{}',
    store_codes text[] not null default '{}',
    channels text[] not null default '{}',
    stacking text not null default 'free' check (stacking in ('free', 'group', 'exclusive')),
    stack_group text,
    priority int not null default 100,
    uses_per_code int check (uses_per_code > 0),
    per_member_limit int check (per_member_limit > 0),
    global_limit bigint check (global_limit > 0),
    budget_minor bigint check (budget_minor > 0),
    restore_on_return boolean not null default true,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (valid_from < valid_to),
    check ((discount_type = 'amount') = (amount_minor is not null)),
    check ((discount_type <> 'amount') = (percent_bp is not null)),
    check (currency is not null or coalesce(amount_minor, max_discount_minor, min_spend_minor, budget_minor) is null),
    check ((stacking = 'group') = (stack_group is not null)),
    check (kind = 'public' or uses_per_code is not null)
);

create table coupon_batch (
    batch_id uuid primary key,
    definition_id uuid not null references coupon_definition,
    codes int not null check (codes > 0),
    issued_at timestamptz not null default now()
);
create index on coupon_batch (definition_id);

-- No foreign keys: a batch of a hundred thousand would look one definition up a hundred thousand times.
create table coupon (
    coupon_id uuid primary key,
    definition_id uuid not null,
    batch_id uuid not null,
    code_hint text not null,
    member_id uuid,
    status text not null default 'issued',
    uses int not null default 0 check (uses >= 0),
    reserved int not null default 0 check (reserved >= 0),
    uses_max int check (uses_max > 0),
    issued_at timestamptz not null default now(),
    expires_at timestamptz,
    row_version bigint not null default 1,
    updated_at timestamptz not null default now(),
    check (uses + reserved <= uses_max),
    check (uses_max is not null or uses + reserved = 0),
    -- The status is what the uses say, unless something ended the coupon.
    check (status in ('void', 'expired') or status = case when uses >= uses_max then 'redeemed'
        when uses + reserved >= uses_max then 'reserved' else 'issued' end)
);
create index on coupon (batch_id, coupon_id);
create index on coupon (member_id) where member_id is not null;
create index coupon_ends on coupon (expires_at) where status in ('issued', 'reserved') and expires_at is not null;
create index coupon_open on coupon (definition_id) where status in ('issued', 'reserved');
alter table coupon replica identity full;

create table coupon_code (
    coupon_id uuid primary key,
    code text not null check (length(code) between 1 and 64),
    code_key text not null unique check (length(code_key) between 1 and 64)
);

create table coupon_redemption (
    redemption_id uuid primary key,
    coupon_id uuid not null,
    definition_id uuid not null,
    member_id uuid,
    status text not null check (status in ('reserved', 'redeemed', 'released', 'rolled_back')),
    discount_minor bigint not null check (discount_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    order_source text,
    order_no text,
    order_id uuid,
    reservation_id uuid,
    reserved_until timestamptz,
    redeemed_at timestamptz,
    ended_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((order_source is null) = (order_no is null)),
    check (status <> 'redeemed' or (order_no is not null and redeemed_at is not null)),
    check (status <> 'reserved' or (reservation_id is not null and reserved_until is not null)),
    check ((status in ('released', 'rolled_back')) = (ended_at is not null))
);
-- One use of a code by an order.
create unique index coupon_redemption_once on coupon_redemption (coupon_id, order_no, order_source)
    where status in ('reserved', 'redeemed');
create index on coupon_redemption (order_no, order_source);
create index on coupon_redemption (member_id, definition_id) where member_id is not null;
create index on coupon_redemption (definition_id);
create index coupon_reserved on coupon_redemption (reserved_until) where status = 'reserved';
create index coupon_reserved_coupon on coupon_redemption (coupon_id) where status = 'reserved';
create index coupon_reserved_definition on coupon_redemption (definition_id, reserved_until) where status = 'reserved';
create index on coupon_redemption (reservation_id) where reservation_id is not null;
create index coupon_unlinked on coupon_redemption (created_at) where status = 'redeemed' and order_id is null;
alter table coupon_redemption replica identity full;

create table coupon_event (
    event_id bigint generated always as identity primary key,
    type text not null check (type in ('issued', 'assigned', 'reserved', 'released', 'redeemed', 'rolled_back', 'expired', 'voided')),
    coupon_id uuid not null,
    definition_id uuid not null,
    member_id uuid,
    redemption_id uuid,
    uses smallint not null default 0 check (uses between -1 and 1),
    discount_minor bigint not null default 0,
    currency text,
    order_source text,
    order_no text,
    at timestamptz not null default now(),
    check ((type in ('reserved', 'released', 'redeemed', 'rolled_back')) = (redemption_id is not null)),
    check (redemption_id is not null or (uses, discount_minor) = (0, 0))
);
create index on coupon_event (coupon_id);
create trigger append_only before update or delete or truncate on coupon_event
    for each statement execute function append_only();

-- What is left of a definition's limits, in parts: whoever uses a code takes from any part that nobody holds, so that many can at once.
-- Only when no part has enough are all of them locked, and what is left is dealt out anew. Room on the page keeps updates off the index.
create table coupon_allowance (
    definition_id uuid not null references coupon_definition,
    part smallint not null,
    uses_left bigint,
    money_left bigint,
    primary key (definition_id, part)
) with (fillfactor = 10);

create table coupon_move (
    merge_id uuid not null,
    moved_id uuid not null,
    from_member_id uuid not null,
    into_member_id uuid not null,
    primary key (merge_id, moved_id)
);

comment on table coupon_definition is 'What codes of a kind give, to whom and for what, and how often. Put whole.';
comment on column coupon_definition.definition_id is 'Our id.';
comment on column coupon_definition.definition_code is 'The caller''s code; identifies it.';
comment on column coupon_definition.title is 'Title for people.';
comment on column coupon_definition.kind is 'unique: secret codes, generated or brought along; public: chosen codes that everybody may know.';
comment on column coupon_definition.status is 'draft and paused: codes are issued but not taken; active; ended: for ever.';
comment on column coupon_definition.discount_type is 'percent of the goods, amount off the goods, or percent of the shipping.';
comment on column coupon_definition.percent_bp is 'Percentage in basis points, 10000 = all; for percent and shipping.';
comment on column coupon_definition.amount_minor is 'Amount off in minor units of currency; for amount.';
comment on column coupon_definition.currency is 'ISO 4217 code of all amounts here; carts of other currencies are refused. Null: any, if nothing here is money.';
comment on column coupon_definition.max_discount_minor is 'Most that one use gives, minor units.';
comment on column coupon_definition.min_spend_minor is 'Least that the goods taken must cost before any code, minor units.';
comment on column coupon_definition.min_quantity is 'Least pieces of the goods taken.';
comment on column coupon_definition.valid_from is 'Codes are taken from then on; null: at once.';
comment on column coupon_definition.valid_to is 'Codes are taken before then; null: without end.';
comment on column coupon_definition.validity_days is 'Days from issue after which a code expires; null: it does not by itself.';
comment on column coupon_definition.tier_codes is 'Tiers whose members may use it; empty: all.';
comment on column coupon_definition.members_only is 'Whether only known members may use it.';
comment on column coupon_definition.first_order_only is 'Whether the member must not have bought before.';
comment on column coupon_definition.include is 'Goods taken, {skus, products, categories, brands}: lists of codes, any of which is enough; {}: all goods.';
comment on column coupon_definition.exclude is 'Goods left out, as include; wins over it.';
comment on column coupon_definition.store_codes is 'Stores where it is taken; empty: everywhere.';
comment on column coupon_definition.channels is 'Channels where it is taken: pos, ecom, marketplace; empty: all.';
comment on column coupon_definition.stacking is 'free: with others; group: one of its group; exclusive: alone.';
comment on column coupon_definition.stack_group is 'Name of the group; for group.';
comment on column coupon_definition.priority is 'Codes are applied by ascending priority, then definition_code, then code.';
comment on column coupon_definition.uses_per_code is 'Uses of one code, for codes issued from now on; null: without end, public codes only.';
comment on column coupon_definition.per_member_limit is 'Uses by one member of all codes; null: no limit.';
comment on column coupon_definition.global_limit is 'Uses of all codes; null: no limit.';
comment on column coupon_definition.budget_minor is 'Most that all uses give together, minor units; null: no limit.';
comment on column coupon_definition.restore_on_return is 'Whether a use comes back when its order is cancelled or wholly returned.';
comment on column coupon_definition.source_updated_at is 'When the source changed it; the newest wins.';
comment on column coupon_definition.row_version is 'Counts the changes, from 1.';
comment on column coupon_definition.created_at is 'When it was made here.';
comment on column coupon_definition.updated_at is 'When it was last changed here.';
comment on table coupon_batch is 'Codes issued by one command.';
comment on column coupon_batch.batch_id is 'Our id.';
comment on column coupon_batch.definition_id is 'What the codes are of.';
comment on column coupon_batch.codes is 'How many were issued.';
comment on column coupon_batch.issued_at is 'When.';
comment on table coupon is 'An issued code, without the code itself.';
comment on column coupon.coupon_id is 'Our id.';
comment on column coupon.definition_id is 'What it is a code of.';
comment on column coupon.batch_id is 'The batch it was issued in.';
comment on column coupon.code_hint is 'The code where it is public, its last four characters where it is secret.';
comment on column coupon.member_id is 'The only member who may use it; null: whoever has it.';
comment on column coupon.status is 'issued, reserved (by checkouts), redeemed (used up), expired, void.';
comment on column coupon.uses is 'Redemptions that count; counted where uses_max is set.';
comment on column coupon.reserved is 'Reservations under way; counted where uses_max is set.';
comment on column coupon.uses_max is 'Most uses; null: without end.';
comment on column coupon.issued_at is 'When it was issued.';
comment on column coupon.expires_at is 'Not taken from then on; null: as long as its definition is valid.';
comment on column coupon.row_version is 'Counts the changes, from 1.';
comment on column coupon.updated_at is 'When it was last changed.';
comment on table coupon_code is 'The codes: secrets worth money, not published.';
comment on column coupon_code.coupon_id is 'Whose code it is.';
comment on column coupon_code.code is 'As it is shown and printed.';
comment on column coupon_code.code_key is 'As it is looked for: upper case, without blanks and hyphens, look-alikes as one.';
comment on table coupon_redemption is 'One use of a code: reserved, redeemed, or over.';
comment on column coupon_redemption.redemption_id is 'Our id.';
comment on column coupon_redemption.coupon_id is 'The code used.';
comment on column coupon_redemption.definition_id is 'Its definition.';
comment on column coupon_redemption.member_id is 'Who used it: the owner of the order, once it has one.';
comment on column coupon_redemption.status is 'reserved, redeemed, released (a reservation that came to nothing), rolled_back (a redemption that was taken back).';
comment on column coupon_redemption.discount_minor is 'What it gave, minor units.';
comment on column coupon_redemption.currency is 'ISO 4217 code of the discount.';
comment on column coupon_redemption.order_source is 'Source of the order, which need not be there yet.';
comment on column coupon_redemption.order_no is 'Number of the order.';
comment on column coupon_redemption.order_id is 'Our id of the order, once it is there.';
comment on column coupon_redemption.reservation_id is 'The reservation that it was part of.';
comment on column coupon_redemption.reserved_until is 'A reservation counts before then.';
comment on column coupon_redemption.redeemed_at is 'When it was redeemed.';
comment on column coupon_redemption.ended_at is 'When it was released or rolled back.';
comment on column coupon_redemption.row_version is 'Counts the changes, from 1.';
comment on column coupon_redemption.created_at is 'When it was made.';
comment on column coupon_redemption.updated_at is 'When it was last changed.';
comment on table coupon_event is 'Ledger of all that happened to codes; only grows. Sums over it are the counters of coupons and definitions.';
comment on column coupon_event.event_id is 'Number of the entry.';
comment on column coupon_event.type is 'What happened.';
comment on column coupon_event.coupon_id is 'To which code.';
comment on column coupon_event.definition_id is 'Of which definition.';
comment on column coupon_event.member_id is 'Whose it was or became, or who used it.';
comment on column coupon_event.redemption_id is 'The use, where there is one.';
comment on column coupon_event.uses is 'Change of the uses under way or done: 1, 0 or -1.';
comment on column coupon_event.discount_minor is 'Change of what uses give, minor units.';
comment on column coupon_event.currency is 'ISO 4217 code of the discount.';
comment on column coupon_event.order_source is 'Source of the order.';
comment on column coupon_event.order_no is 'Number of the order.';
comment on column coupon_event.at is 'When.';
comment on table coupon_allowance is 'What is left of limits of definitions; rows only where there are any. Not published: it follows from coupon_redemption.';
comment on column coupon_allowance.definition_id is 'The definition.';
comment on column coupon_allowance.part is 'Number of the part, from 0; what is left is the sum of all.';
comment on column coupon_allowance.uses_left is 'Uses left of global_limit; null without one. Negative where the limit was lowered below what was used.';
comment on column coupon_allowance.money_left is 'Minor units left of budget_minor; null without one. Negative as uses_left.';
comment on table coupon_move is 'What merges moved, to bring it back. Not published.';
comment on column coupon_move.merge_id is 'The merge.';
comment on column coupon_move.moved_id is 'Coupon or redemption.';
comment on column coupon_move.from_member_id is 'Whose it was.';
comment on column coupon_move.into_member_id is 'Whose it became.';

-- What a cart tells the rules. Times: `at` is when the buyer decided, `now` is when the store does.
create type coupon_line as (line_no int, sku_code text, product_code text, categories text[], brand text, quantity numeric, amount bigint);
create type coupon_cart as (at timestamptz, member_id uuid, tier_code text, bought boolean, store_code text, channel text,
    currency text, shipping bigint, room bigint, order_source text, order_no text, order_id uuid, lines coupon_line[], fault jsonb);

-- A code asked for: what it is, what is left of its definition's limits, what its member used, whether this order or reservation holds
-- it already (`kept`), and what becomes of it: a reason against it, or its discount, in all and by line.
create type coupon_ask as (n int, code text, key text, asked bigint, coupon coupon, definition coupon_definition, lapsed int,
    uses_left bigint, money_left bigint, member_uses bigint, kept uuid, kept_status text, kept_discount bigint, reason text, discount bigint,
    shares bigint[]);

-- Divides an amount by the weights, to the last unit: whoever lost most by rounding down gets one more, the earlier first. No part is
-- more than its weight as long as the amount is not more than all of them.
create function coupon_shares(amount bigint, weights bigint[]) returns bigint[]
language sql immutable parallel safe as $$
    select array_agg((p.whole + case when p.place_by_rest <= amount - p.wholes then 1 else 0 end)::bigint order by p.place)
    from (
        select f.place, f.whole, sum(f.whole) over () as wholes,
            row_number() over (order by f.rest desc, f.place) as place_by_rest
        from (
            select w.place, div(amount::numeric * w.weight, greatest(sum(w.weight) over (), 1)) as whole,
                mod(amount::numeric * w.weight, greatest(sum(w.weight) over (), 1)) as rest
            from unnest(weights) with ordinality as w (weight, place)) f) p
$$;

-- Whether a list of what a definition takes or leaves, {"skus", "products", "categories", "brands"}, names a line.
create function coupon_names(list jsonb, line coupon_line) returns boolean
language sql immutable parallel safe as $$
    select coalesce(list -> 'skus' ? (line).sku_code, false) or coalesce(list -> 'products' ? (line).product_code, false)
        or coalesce(list -> 'categories' ?| (line).categories, false) or coalesce(list -> 'brands' ? (line).brand, false)
$$;

-- What speaks against a code, whatever other codes there are; null if nothing does. `kept` is promised: a reservation outlives the
-- end of the coupon and a pause of its definition. An expiry goes by times alone: whether a sweep has come by does not matter.
create function coupon_refusal(ask coupon_ask, cart coupon_cart) returns text
language plpgsql immutable as $$
declare
    k crm.coupon := ask.coupon;
    d crm.coupon_definition := ask.definition;
    used int := k.uses + k.reserved - ask.lapsed - case when ask.kept is null then 0 else 1 end;
begin
    return case
        when k.coupon_id is null then 'unknown_code'
        when k.status = 'void' then 'void'
        when ask.kept is null and d.status <> 'active' then case d.status when 'ended' then 'expired' else 'not_active' end
        when ask.kept is null and cart.at < d.valid_from then 'not_yet_valid'
        when ask.kept is null and (cart.at >= d.valid_to or cart.at >= k.expires_at) then 'expired'
        when used >= k.uses_max then case when k.uses >= k.uses_max then 'already_redeemed' else 'reserved' end
        when cart.member_id is null and (k.member_id is not null or d.members_only or d.first_order_only
            or d.per_member_limit is not null or d.tier_codes <> '{}') then 'member_required'
        when k.member_id <> cart.member_id then 'other_member'
        when d.tier_codes <> '{}' and (cart.tier_code = any (d.tier_codes)) is not true then 'wrong_tier'
        when d.first_order_only and cart.bought then 'not_first_order'
        when d.store_codes <> '{}' and (cart.store_code = any (d.store_codes)) is not true then 'wrong_store'
        when d.channels <> '{}' and (cart.channel = any (d.channels)) is not true then 'wrong_channel'
        when d.currency <> cart.currency then 'wrong_currency'
    end;
end
$$;

-- Decides about codes for a cart, in the order in which they are applied. Pure: the same asks and cart give the same answer, in whatever
-- order the cart's lines come.
create function judge_coupons(asks coupon_ask[], cart coupon_cart) returns coupon_ask[]
language plpgsql immutable as $$
declare
    lines crm.coupon_line[] := array(select l from unnest(cart.lines) l order by l.line_no);
    rest bigint[] := array(select l.amount from unnest(lines) l);
    shipping bigint := cart.shipping;
    room bigint := cart.room;
    a crm.coupon_ask;
    b crm.coupon_ask;
    d crm.coupon_definition;
    judged crm.coupon_ask[] := '{}';
    part bigint[];
    quantity numeric;
    spend numeric;
    total bigint;
    others int;
    others_spent bigint;
begin
    foreach a in array asks loop
        d := a.definition;
        a.discount := 0;
        a.shares := array_fill(0::bigint, array[cardinality(rest)]);
        a.reason := case
            when exists (select from unnest(judged) j where j.key = a.key) then 'duplicate_code'
            when a.kept_status is distinct from 'redeemed' then crm.coupon_refusal(a, cart) end;
        if a.reason is null and a.kept_status = 'redeemed' then
            a.discount := a.kept_discount;
            judged := judged || a;
            continue;
        end if;
        others := 0;
        others_spent := 0;
        foreach b in array judged loop
            exit when a.reason is not null;
            continue when b.reason is not null;
            a.reason := case
                when 'exclusive' in (d.stacking, (b.definition).stacking) then 'not_stackable'
                when d.stack_group = (b.definition).stack_group then 'stack_group_taken' end;
            if (b.definition).definition_id = d.definition_id and b.kept_status is distinct from 'redeemed' then
                others := others + 1;
                others_spent := others_spent + b.discount;
            end if;
        end loop;
        if a.reason is null then
            select array_agg(case when t.taken then rest[t.place] else 0 end order by t.place),
                sum((lines[t.place]).quantity) filter (where t.taken), sum((lines[t.place]).amount) filter (where t.taken),
                sum(rest[t.place]) filter (where t.taken)
            into part, quantity, spend, total
            from (
                select s.place, (d.include = '{}' or crm.coupon_names(d.include, lines[s.place]))
                    and not crm.coupon_names(d.exclude, lines[s.place]) as taken
                from generate_subscripts(lines, 1) as s (place)) t;
            if d.discount_type = 'shipping' then
                -- An order's shipping is what is left after the coupon: what it was is for the caller to say.
                a.discount := coalesce(round(shipping::numeric * d.percent_bp / 10000), a.asked, 0);
            elsif d.discount_type = 'percent' then
                a.discount := coalesce(round(total::numeric * d.percent_bp / 10000), 0);
            else
                a.discount := least(d.amount_minor, total);
            end if;
            a.discount := least(a.discount, d.max_discount_minor);
            a.reason := case
                when spend is null then 'no_eligible_lines'
                when quantity < d.min_quantity then 'below_min_quantity'
                when spend < d.min_spend_minor then 'below_min_spend'
                when a.asked > a.discount then 'discount_too_high'
                when d.discount_type <> 'shipping' and (a.asked > room or (a.asked is null and room <= 0)) then 'discount_not_in_order'
                when a.asked is null and a.discount = 0 and (d.discount_type <> 'shipping' or shipping is not null) then 'no_discount'
                when a.member_uses + others >= d.per_member_limit then 'per_member_limit'
                when a.uses_left - others < 1 then 'global_limit' end;
            a.discount := coalesce(a.asked, case d.discount_type when 'shipping' then a.discount else least(a.discount, room) end);
            if a.reason is null and a.money_left - others_spent < a.discount then
                a.reason := 'budget_spent';
            end if;
        end if;
        if a.reason is not null then
            a.discount := 0;
        elsif d.discount_type = 'shipping' then
            shipping := shipping - a.discount;
        else
            a.shares := crm.coupon_shares(a.discount, part);
            rest := array(select r - s from unnest(rest, a.shares) as u (r, s));
            room := room - a.discount;
        end if;
        judged := judged || a;
    end loop;
    return judged;
end
$$;

-- Looks codes up for a cart, in the order in which they are applied: priority, definition, code. `asks` are {"code", "key",
-- "discount_minor", "reservation_id"}. Reservations whose time is over count for nothing, whether they were swept or not.
create function ask_coupons(asks jsonb, cart coupon_cart) returns coupon_ask[]
language plpgsql stable as $$
declare
    mine uuid[] := array(select a.reservation_id from jsonb_to_recordset(asks) as a (reservation_id uuid));
begin
    return (
        select array_agg(row (a.n - 1, a.code, a.key, a.discount_minor, k, d, coalesce(p.lapsed, 0),
            t.uses_left + coalesce(h.uses, 0), t.money_left + coalesce(h.spent, 0), m.uses, o.redemption_id, o.status,
            o.discount_minor, null, 0, null)::crm.coupon_ask
            order by d.priority, d.definition_code, a.key, a.n)
        from rows from (jsonb_to_recordset(asks) as (code text, key text, discount_minor bigint, reservation_id uuid)) with ordinality
            as a (code, key, discount_minor, reservation_id, n)
        left join crm.coupon_code s on s.code_key = a.key
        left join crm.coupon k on k.coupon_id = s.coupon_id
        left join crm.coupon_definition d on d.definition_id = k.definition_id
        left join lateral (
            select sum(l.uses_left)::bigint as uses_left, sum(l.money_left)::bigint as money_left
            from crm.coupon_allowance l where l.definition_id = k.definition_id) t on true
        left join lateral (
            select r.redemption_id, r.status, r.discount_minor from (
                select r.* from crm.coupon_redemption r
                where (r.coupon_id, r.order_no, r.order_source) = (k.coupon_id, cart.order_no, cart.order_source)
                    and r.status in ('reserved', 'redeemed')
                union all
                select r.* from crm.coupon_redemption r
                where a.reservation_id is not null and r.reservation_id = a.reservation_id and r.coupon_id = k.coupon_id
                    and r.status = 'reserved') r
            where r.status = 'redeemed' or r.reserved_until > now()
            order by r.status limit 1) o on true
        -- What reservations over time still hold of the coupon, and of the definition together with what is kept here.
        left join lateral (
            select count(*)::int as lapsed from crm.coupon_redemption r
            where k.reserved > 0 and r.coupon_id = k.coupon_id and r.status = 'reserved' and r.reserved_until <= now()) p on true
        left join lateral (
            select count(*) as uses, sum(r.discount_minor)::bigint as spent from crm.coupon_redemption r
            where coalesce(t.uses_left, t.money_left) is not null and r.definition_id = k.definition_id and r.status = 'reserved'
                and (r.reserved_until <= now() or (r.order_no, r.order_source) = (cart.order_no, cart.order_source)
                    or r.reservation_id = any (mine))) h on true
        left join lateral (
            select count(*) as uses from crm.coupon_redemption r
            where d.per_member_limit is not null and (r.member_id, r.definition_id) = (cart.member_id, k.definition_id)
                and (r.status = 'redeemed' or (r.status = 'reserved' and r.reserved_until > now()
                    and ((r.order_no, r.order_source) = (cart.order_no, cart.order_source)) is not true
                    and (r.reservation_id = any (mine)) is not true))) m on true);
end
$$;

-- The categories that a product is in.
create function coupon_categories(p product) returns text[]
language sql stable parallel safe as $$
    select coalesce((select c.path from crm.category c where c.category_id = (p).category_id), '{}') || array[(p).category]
$$;

-- A cart as asked for: {"member_no", "buyer_kind", "buyer_token", "store_code", "channel", "currency", "shipping", "order_source",
-- "order_no", "lines": [{"n", "sku", "q", "amount"}]}, with every code looked up.
create function ask_cart(i int, b jsonb) returns coupon_cart
language plpgsql stable as $$
declare
    cart crm.coupon_cart;
    owner crm.member;
    unknown bigint;
begin
    if b ->> 'member_no' is not null then
        -- The number of a member that was merged into another leads there.
        select o.* into owner from crm.member m join crm.member o on o.member_id = coalesce(m.merged_into_member_id, m.member_id)
        where m.member_no = b ->> 'member_no';
        if owner.member_id is null then
            cart.fault := crm.fault(i, 'unknown_member', '/cart/member_no', 'there is no member with this number; put the member first');
            return cart;
        end if;
    elsif b ->> 'buyer_token' is not null then
        select m.* into owner from crm.member_identity h join crm.member m on m.member_id = h.member_id
        where (h.kind, h.token) = (b ->> 'buyer_kind', b ->> 'buyer_token') and h.strength = 'strong';
    end if;
    select array_agg(row (v.n, v.sku, p.product_code, crm.coupon_categories(p), p.brand, v.q, v.amount)::crm.coupon_line),
        min(v.place) filter (where k.sku_id is null)
    into cart.lines, unknown
    from rows from (jsonb_to_recordset(b -> 'lines') as (n int, sku text, q numeric, amount bigint)) with ordinality
        as v (n, sku, q, amount, place)
    left join crm.sku k on k.sku_code = v.sku
    left join crm.product p on p.product_id = k.product_id;
    if unknown is not null then
        cart.fault := crm.fault(i, 'unknown_sku', '/cart/lines/' || (unknown - 1) || '/sku_code', 'there is no SKU with this code; put the SKU first');
        return cart;
    end if;
    cart.at := now();
    cart.member_id := owner.member_id;
    cart.tier_code := owner.tier_code;
    cart.store_code := b ->> 'store_code';
    cart.channel := b ->> 'channel';
    cart.currency := b ->> 'currency';
    cart.shipping := (b ->> 'shipping')::bigint;
    cart.order_source := b ->> 'order_source';
    cart.order_no := b ->> 'order_no';
    return cart;
end
$$;

-- Whether the member of a cart has bought anything but the cart's own order.
create function bought_before(cart coupon_cart) returns boolean
language plpgsql stable as $$
begin
    return exists (
        select from crm.sales_order o
        where o.member_id = cart.member_id and crm.bought(o.status)
            and ((o.source, o.order_no) = (cart.order_source, cart.order_no)) is not true);
end
$$;

-- Looks codes up and decides about them.
create function weigh_coupons(asks jsonb, cart coupon_cart) returns coupon_ask[]
language plpgsql stable as $$
declare
    asked crm.coupon_ask[] := crm.ask_coupons(asks, cart);
begin
    if exists (select from unnest(asked) a where (a.definition).first_order_only) then
        cart.bought := crm.bought_before(cart);
    end if;
    return crm.judge_coupons(asked, cart);
end
$$;

-- An order as a cart. Its line discounts hold what its coupons gave, so that amounts are those before any discount, and all discounts
-- that no code has accounted for are room for codes.
create function cart_of_order(o sales_order) returns coupon_cart
language plpgsql stable as $$
declare
    cart crm.coupon_cart;
begin
    select array_agg(row (l.line_no, k.sku_code, p.product_code, crm.coupon_categories(p), p.brand, l.quantity, l.gross_minor)::crm.coupon_line)
    into cart.lines
    from crm.order_line l
    join crm.sku k on k.sku_id = l.sku_id
    join crm.product p on p.product_id = k.product_id
    where l.order_id = o.order_id and l.line_type = 'sale' and not l.voided;
    select m.tier_code into cart.tier_code from crm.member m where m.member_id = o.member_id;
    select s.store_code into cart.store_code from crm.store s where s.store_id = o.store_id;
    cart.at := least(o.placed_at, now());
    cart.member_id := o.member_id;
    cart.channel := o.channel;
    cart.currency := o.currency;
    cart.room := o.discount_minor - coalesce((
        select sum(r.discount_minor) from crm.coupon_redemption r
        join crm.coupon_definition d on d.definition_id = r.definition_id and d.discount_type <> 'shipping'
        where (r.order_no, r.order_source) = (o.order_no, o.source) and r.status = 'redeemed'), 0);
    cart.order_source := o.source;
    cart.order_no := o.order_no;
    cart.order_id := o.order_id;
    return cart;
end
$$;

-- The text behind a reason.
create function coupon_reason(reason text) returns text
language sql immutable parallel safe as $$
    select case reason
        when 'unknown_code' then 'there is no such code'
        when 'duplicate_code' then 'the same code comes twice'
        when 'void' then 'the code was made void'
        when 'not_active' then 'the codes of this definition cannot be used now'
        when 'not_yet_valid' then 'the code is not valid yet'
        when 'expired' then 'the code is not valid any more'
        when 'already_redeemed' then 'the code was used already'
        when 'reserved' then 'another checkout holds the code'
        when 'member_required' then 'the code is for known members only; say who buys'
        when 'other_member' then 'the code is another member''s'
        when 'wrong_tier' then 'the code is for members of other tiers'
        when 'not_first_order' then 'the code is for a first order'
        when 'wrong_store' then 'the code is for other stores'
        when 'wrong_channel' then 'the code is for other channels'
        when 'wrong_currency' then 'the code is for another currency'
        when 'not_stackable' then 'the code cannot be used together with the others'
        when 'stack_group_taken' then 'another code of the same group is used'
        when 'no_eligible_lines' then 'the code is for other goods'
        when 'below_min_quantity' then 'there are too few pieces of the goods that the code is for'
        when 'below_min_spend' then 'the goods that the code is for cost too little'
        when 'discount_too_high' then 'the code does not give so much'
        when 'discount_not_in_order' then 'the discounts of the order''s lines do not hold what the code gave'
        when 'no_discount' then 'there is nothing left that the code could reduce'
        when 'per_member_limit' then 'the member used as many codes of this definition as a member may'
        when 'global_limit' then 'as many codes of this definition were used as may be'
        when 'budget_spent' then 'the budget of this definition does not hold so much any more'
    end
$$;

-- Status of a coupon of so many uses. A void one stays void, an expired one expired as long as it is not used up.
create function coupon_status(status text, uses int, reserved int, uses_max int) returns text
language sql immutable parallel safe as $$
    select case when status = 'void' then 'void' when uses >= uses_max then 'redeemed' when status = 'expired' then 'expired'
        when uses + reserved >= uses_max then 'reserved' else 'issued' end
$$;

-- The advisory lock of a definition or a member.
create function coupon_lock(id uuid) returns bigint
language sql immutable parallel safe as $$
    select hashtextextended(id::text, 12)
$$;

-- What was decided, in the order of the codes asked for.
create function tell_coupons(judged coupon_ask[], cart coupon_cart) returns jsonb
language plpgsql immutable as $$
declare
    numbers int[] := array(select l.line_no from unnest(cart.lines) l order by l.line_no);
    result jsonb;
begin
    select jsonb_build_object('discount_minor', sum(a.discount), 'valid', bool_and(a.reason is null), 'codes',
        jsonb_agg(jsonb_strip_nulls(jsonb_build_object('code', a.code, 'valid', a.reason is null, 'reason', 'coupon_' || a.reason, 'detail', crm.coupon_reason(a.reason),
        'discount_type', (a.definition).discount_type, 'discount_minor', a.discount, 'lines', (
            select jsonb_agg(jsonb_build_object('line_no', s.line_no, 'discount_minor', s.share) order by s.line_no)
            from unnest(numbers, a.shares) as s (line_no, share) where s.share > 0))) order by a.n))
    into result from unnest(judged) a;
    return result || jsonb_build_object('lines', (
        select coalesce(jsonb_agg(jsonb_build_object('line_no', t.line_no, 'discount_minor', t.share) order by t.line_no), '[]') from (
            select s.line_no, sum(s.share) as share from unnest(judged) a cross join lateral unnest(numbers, a.shares) as s (line_no, share)
            group by s.line_no having sum(s.share) > 0) t));
end
$$;
