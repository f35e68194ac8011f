-- The life of an order: what it is now is computed from what its source says, what was paid and what came back; each change is an
-- event.
--
-- PostgreSQL reads the text of every CHECK of a table once for each statement that writes to it. So the tables that every order
-- writes to have few, and short ones.

-- ---- Tables -------------------------------------------------------------------------------------------------------------
drop function crm.edit_order(crm.order_ask), crm.put_return(int, jsonb, uuid, jsonb, crm.sales_order, crm.store),
    crm.edit_return_lines(uuid, uuid, crm.return_ask[], jsonb), crm.ask_return(uuid, uuid, jsonb, boolean), crm.ask_orders(jsonb);
drop type crm.return_ask, crm.order_ask;

alter table crm.sales_order
    add column source_status text,
    add column payment_status text not null default 'unpaid',
    add column fulfilment_status text not null default 'unfulfilled',
    add column tax_included boolean not null default false,
    add column order_discount_minor bigint not null default 0,
    add column order_tax_minor bigint not null default 0,
    add column change_minor bigint not null default 0,
    add column source_version bigint,
    drop constraint sales_order_member_id_fkey,
    drop constraint sales_order_status_check,
    drop constraint sales_order_channel_check,
    drop constraint sales_order_source_check,
    drop constraint sales_order_order_no_check,
    drop constraint sales_order_currency_check,
    drop constraint sales_order_check,
    drop constraint sales_order_check1;
alter table crm.order_line
    add column line_type text not null default 'sale',
    add column tax_included boolean not null default false,
    add column order_discount_minor bigint not null default 0,
    add column fulfilled_quantity numeric(18, 4),
    alter column sku_id drop not null,
    alter column product_id drop not null,
    drop constraint order_line_line_no_check,
    drop constraint order_line_check,
    drop constraint order_line_quantity_check,
    drop constraint order_line_discount_minor_check,
    drop constraint order_line_gross_minor_check,
    drop constraint order_line_unit_price_minor_check;
alter table crm.payment
    drop constraint payment_tender_type_check,
    drop constraint payment_status_check,
    drop constraint payment_payment_no_check,
    drop constraint payment_amount_minor_check;

-- Short texts are in one pattern each; all that is reckoned is in one check.
alter table crm.sales_order
    add constraint sales_order_words check (concat_ws(' ', channel, status, source_status, currency)
        ~ '^(pos|ecom|marketplace)( (pending|paid|(partially_)?fulfilled|cancelled|returned))+ [A-Z]{3}$' and source <> '' and order_no <> ''),
    add constraint sales_order_derived check (concat_ws(' ', payment_status, fulfilment_status)
        ~ '^(unpaid|(partially_)?paid|(partially_)?refunded) (unfulfilled|(partially_)?fulfilled|(partially_)?returned)$'),
    add constraint sales_order_sums check (total_minor = net_minor + tax_minor + shipping_minor and change_minor >= 0
        and net_minor = gross_minor - discount_minor - case when tax_included then tax_minor else 0 end);
alter table crm.order_line
    add constraint order_line_sums check (quantity >= 0 and unit_price_minor >= 0 and order_discount_minor >= 0
        and discount_minor >= order_discount_minor and gross_minor >= discount_minor
        and net_minor = gross_minor - discount_minor - case when tax_included then tax_minor else 0 end),
    add constraint order_line_type check (line_type ~ '^(sale|fee|gift_card|shipping)$' and (sku_id is not null or line_type <> 'sale'));
alter table crm.payment
    add constraint payment_words check (concat_ws(' ', tender_type, status)
        ~ '^(cash|card|gift_card|points|wallet|bnpl|other) (authorised|captured|failed|voided)$' and amount_minor >= 0);

-- Lines are found by their order; of a SKU's or a day's sales the serving layer tells.
drop index crm.order_line_sku_id_idx, crm.sales_order_placed_at_idx;
create index sales_order_placed on crm.sales_order using brin (placed_at);
-- Room for the next version of a row on its page: changes of a status then touch no index.
alter table crm.sales_order set (fillfactor = 85);
alter table crm.points_account set (fillfactor = 60);

alter table crm.sales_return
    add column exchange_order_id uuid references crm.sales_order,
    add column source_version bigint,
    alter column order_id drop not null;
alter table crm.return_line
    add column line_no int,
    add column sku_id uuid,
    add column product_id uuid,
    add column reason text,
    add column restock boolean not null default true,
    alter column order_line_id drop not null;
alter table crm.return_line disable trigger user;
update crm.return_line r set line_no = l.line_no, sku_id = l.sku_id, product_id = l.product_id
from crm.order_line l where l.order_line_id = r.order_line_id;
alter table crm.return_line enable trigger user;
alter table crm.return_line alter column line_no set not null, add unique (return_id, line_no),
    add constraint return_line_goods check (order_line_id is not null or sku_id is not null);

-- Money that went back to a tender. No row is deleted: one that an update no longer has is voided, with nothing in it.
create table crm.refund (
    refund_id uuid primary key,
    return_id uuid not null references crm.sales_return,
    refund_no int not null check (refund_no between 1 and 1000),
    order_id uuid,
    member_id uuid,
    payment_no int,
    tender_type text not null check (tender_type in ('cash', 'card', 'gift_card', 'points', 'wallet', 'bnpl', 'other')),
    amount_minor bigint not null check (amount_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    status text not null default 'completed' check (status in ('pending', 'completed', 'failed', 'voided')),
    processor_ref text,
    refunded_at timestamptz,
    unique (return_id, refund_no),
    check (payment_no is null or order_id is not null)
);
create index on crm.refund (order_id);

-- What happened to orders: one row for each change that a command made.
create table crm.order_event (
    event_id uuid primary key,
    order_id uuid not null,
    member_id uuid,
    type text not null check (type ~ '^(created|edited|status_changed|returned|exchanged|refunded)$'),
    status text not null,
    payment_status text not null,
    fulfilment_status text not null,
    from_status text,
    return_id uuid,
    amount_minor bigint,
    source text not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default now()
) partition by range (event_id);
create index on crm.order_event (order_id);
select crm.guard_ledger('order_event');
select crm.make_partitions(2);

-- ---- What an order is now -----------------------------------------------------------------------------------------------
-- Its status: what its source says, unless all goods came back.
create function crm.order_status(said text, units numeric, returned numeric) returns text
language sql immutable parallel safe as $$
    select case when said <> 'cancelled' and returned > 0 and returned >= units then 'returned' else said end
$$;

-- Whether it is paid: by its payments, if any are known; else as its status says. `paid` is what was taken, less change.
create function crm.payment_status(said text, total bigint, paid bigint, refunded bigint, tendered boolean) returns text
language sql immutable parallel safe as $$
    select case
        when refunded > 0 and refunded >= paid then 'refunded'
        when refunded > 0 then 'partially_refunded'
        when not tendered then case when said in ('pending', 'cancelled') then 'unpaid' else 'paid' end
        when paid >= total then 'paid'
        when paid > 0 then 'partially_paid'
        else 'unpaid'
    end
$$;

-- Whether its goods were handed over: by what its lines say, if they do; else as its status says.
create function crm.fulfilment_status(said text, units numeric, fulfilled numeric, returned numeric) returns text
language sql immutable parallel safe as $$
    select case
        when returned > 0 and returned >= units then 'returned'
        when returned > 0 then 'partially_returned'
        when fulfilled is null then case said when 'returned' then 'returned' when 'fulfilled' then said
            when 'partially_fulfilled' then said else 'unfulfilled' end
        when fulfilled >= units then 'fulfilled'
        when fulfilled > 0 then 'partially_fulfilled'
        else 'unfulfilled'
    end
$$;

-- What came back of an order: goods, and money by refunds.
create type crm.come_back as (units numeric, refunded bigint);
create function crm.come_back(order_id uuid) returns crm.come_back
language plpgsql stable as $$
begin
    return row (
        (select coalesce(sum(rl.quantity), 0) from crm.sales_return r
            join crm.return_line rl on rl.return_id = r.return_id
            join crm.order_line l on l.order_line_id = rl.order_line_id
            where r.order_id = come_back.order_id and r.status = 'completed' and l.line_type in ('sale', 'gift_card')),
        (select coalesce(sum(f.amount_minor), 0)::bigint from crm.refund f
            where f.order_id = come_back.order_id and f.status = 'completed'))::crm.come_back;
end
$$;

-- Brings what is computed of an order up to date after one of its returns; gives the order as it is then.
create function crm.settle_order(id uuid) returns crm.sales_order
language plpgsql as $$
declare
    back crm.come_back := crm.come_back(id);
    settled crm.sales_order;
begin
    update crm.sales_order o set status = n.status, payment_status = n.payment_status, fulfilment_status = n.fulfilment_status,
        row_version = o.row_version + 1, updated_at = now()
    from (
        select crm.order_status(s.source_status, s.units, back.units) as status,
            crm.payment_status(s.source_status, s.total_minor, p.paid - s.change_minor, back.refunded, p.tendered) as payment_status,
            crm.fulfilment_status(s.source_status, s.units, l.fulfilled, back.units) as fulfilment_status
        from crm.sales_order s
        cross join lateral (
            select coalesce(sum(p.amount_minor) filter (where p.status = 'captured'), 0)::bigint as paid,
                coalesce(bool_or(p.status <> 'voided'), false) as tendered
            from crm.payment p where p.order_id = s.order_id) p
        cross join lateral (
            select sum(l.fulfilled_quantity) as fulfilled from crm.order_line l
            where l.order_id = s.order_id and not l.voided and l.line_type in ('sale', 'gift_card')) l
        where s.order_id = settle_order.id) n
    where o.order_id = settle_order.id and (o.status, o.payment_status, o.fulfilment_status)
        is distinct from (n.status, n.payment_status, n.fulfilment_status)
    returning o.* into settled;
    if settled.order_id is null then
        select * into settled from crm.sales_order o where o.order_id = settle_order.id;
    end if;
    return settled;
end
$$;

-- Writes an event of an order as it is now.
create function crm.order_happened(now_is crm.sales_order, type text, from_status text, return_id uuid, amount_minor bigint,
    source text, occurred_at timestamptz) returns void
language plpgsql as $$
begin
    insert into crm.order_event (event_id, order_id, member_id, type, status, payment_status, fulfilment_status, from_status,
        return_id, amount_minor, source, occurred_at)
    values (crm.uuid7(), now_is.order_id, now_is.member_id, type, now_is.status, now_is.payment_status, now_is.fulfilment_status,
        nullif(from_status, now_is.status), return_id, amount_minor, source, occurred_at);
end
$$;

-- What there is already.
update crm.sales_order set source_status = status;
alter table crm.sales_order alter column source_status set not null;
select count(crm.settle_order(order_id)) from crm.sales_order;

-- ---- Orders -------------------------------------------------------------------------------------------------------------
-- An order as asked for, with every code looked up.
create type crm.order_ask as (
    i int, c jsonb, source text, order_no text, channel text, store_id uuid, member_id uuid, contact text, anonymous_id text,
    business_date date, placed_at timestamptz, currency text, status text, tax_included boolean, units numeric, fulfilled numeric,
    gross_minor bigint, discount_minor bigint, order_discount_minor bigint, tax_minor bigint, order_tax_minor bigint,
    shipping_minor bigint, net_minor bigint, total_minor bigint, paid_minor bigint, change_minor bigint, coupon_codes text[],
    source_updated_at timestamptz, source_version bigint, lines crm.order_line[], payments crm.payment[]
);

-- Looks up all that orders name; every code is known to be there.
create function crm.ask_orders(items jsonb) returns crm.order_ask[]
language plpgsql as $$
begin
    return (
        select array_agg(row (x.i, x.c, b.source, b.order_no, b.channel, s.store_id, m.member_id,
            case when m.member_id is null and b.buyer_kind <> 'anonymous' then b.buyer_kind || ':' || b.buyer_token end,
            coalesce(b.anonymous_id, case b.buyer_kind when 'anonymous' then b.buyer_token end),
            coalesce(b.business_date, crm.business_day(s, b.placed_at)),
            b.placed_at, b.currency, b.status, coalesce(b.tax_included, false), b.units, b.fulfilled, b.gross, b.discount,
            coalesce(b.order_discount, 0), b.tax, coalesce(b.order_tax, 0), b.shipping, b.net, b.total, coalesce(b.paid, 0),
            coalesce(b.change, 0), array(select jsonb_array_elements_text(b.coupon_codes)), b.source_updated_at, b.version, l.lines,
            p.payments)::crm.order_ask order by x.place)
        from rows from (jsonb_to_recordset(items) as (i int, c jsonb, id uuid, b jsonb)) with ordinality as x (i, c, id, b, place)
        cross join lateral jsonb_to_record(x.b) as b (source text, order_no text, channel text, store_code text, member_no text,
            buyer_kind text, buyer_token text, anonymous_id text, business_date date, placed_at timestamptz, currency text,
            status text, tax_included boolean, units numeric, fulfilled numeric, gross bigint, discount bigint,
            order_discount bigint, tax bigint, order_tax bigint, shipping bigint, net bigint, total bigint, paid bigint,
            change bigint, coupon_codes jsonb, source_updated_at timestamptz, version bigint, lines jsonb, payments jsonb)
        left join crm.store s on s.store_code = b.store_code
        left join crm.member_identity h
            on b.member_no is null and (h.kind, h.token) = (b.buyer_kind, b.buyer_token) and h.strength = 'strong'
        left join crm.member m
            on m.member_id = coalesce(h.member_id, (
                select coalesce(n.merged_into_member_id, n.member_id) from crm.member n where n.member_no = b.member_no), (
                -- An erased buyer cannot be recognised any more: what the order earned stays with it.
                select e.member_id from crm.sales_order p join crm.member e on e.member_id = p.member_id
                where (p.source, p.order_no) = (b.source, b.order_no) and e.status = 'erased'))
        cross join lateral (
            select array_agg(row (v.id, x.id, v.n, m.member_id, k.sku_id, k.product_id, v.q, v.price, v.gross, v.discount, v.tax,
                v.gross - v.discount - case when b.tax_included then v.tax else 0 end, v.void, v.text, coalesce(v.type, 'sale'),
                coalesce(b.tax_included, false), coalesce(v.order_discount, 0), v.fulfilled)::crm.order_line) as lines
            from jsonb_to_recordset(b.lines) as v (id uuid, n int, sku text, q numeric, price bigint, gross bigint, discount bigint,
                tax bigint, void boolean, text text, type text, order_discount bigint, fulfilled numeric)
            left join crm.sku k on k.sku_code = v.sku) l
        cross join lateral (
            select array_agg(row (v.id, x.id, v.n, m.member_id, v.tender, v.amount, b.currency, v.status, v.reference,
                v.captured_at)::crm.payment) as payments
            from jsonb_to_recordset(b.payments) as v (id uuid, n int, tender text, amount bigint, status text, reference text,
                captured_at timestamptz)) p);
end
$$;

-- Orders: new ones all at once, in one statement (starting a statement costs more than what it does for one order); changes of
-- known ones one by one. Where somebody makes the same order at the same moment, the unique number voids the transaction.
create or replace function crm.put_orders(items jsonb) returns jsonb
language plpgsql as $$
declare
    ask crm.order_ask;
    known int[];
    answers jsonb;
begin
    with asked as materialized (
        select x.i, x.c, x.id, b.*, s.store_id, crm.business_day(s, b.placed_at) as placed_on,
            coalesce(n.merged_into_member_id, n.member_id, h.member_id) as owner,
            o.order_id is not null as known,
            case
                when b.store_code is not null and s.store_id is null then crm.fault(x.i, 'unknown_store', '/store_code',
                    'there is no store with this code; put the store first')
                when b.member_no is not null and n.member_id is null then crm.fault(x.i, 'unknown_member', '/member_no',
                    'there is no member with this number; put the member first')
                when o.order_id is null and b.paid - coalesce(b.change, 0) > b.total then crm.overpaid(x.i)
            end as fault
        from jsonb_to_recordset(items) as x (i int, c jsonb, id uuid, b jsonb)
        cross join lateral jsonb_to_record(x.b) as b (source text, order_no text, channel text, store_code text, member_no text,
            buyer_kind text, buyer_token text, anonymous_id text, business_date date, placed_at timestamptz, currency text,
            status text, tax_included boolean, units numeric, fulfilled numeric, gross bigint, discount bigint,
            order_discount bigint, tax bigint, order_tax bigint, shipping bigint, net bigint, total bigint, paid bigint,
            change bigint, coupon_codes jsonb, source_updated_at timestamptz, version bigint, event uuid, lines jsonb, payments jsonb)
        left join crm.store s on s.store_code = b.store_code
        left join crm.member n on n.member_no = b.member_no
        left join crm.member_identity h
            on b.member_no is null and (h.kind, h.token) = (b.buyer_kind, b.buyer_token) and h.strength = 'strong'
        left join crm.sales_order o on (o.source, o.order_no) = (b.source, b.order_no)
    ), line as materialized (
        select a.id as order_id, a.owner, coalesce(a.tax_included, false) as tax_included, v.*, k.sku_id, k.product_id
        from asked a
        cross join lateral rows from (jsonb_to_recordset(a.lines) as (id uuid, n int, sku text, q numeric, price bigint, gross bigint,
            discount bigint, tax bigint, void boolean, text text, type text, order_discount bigint, fulfilled numeric))
            with ordinality as v (id, n, sku, q, price, gross, discount, tax, void, text, type, order_discount, fulfilled, place)
        left join crm.sku k on k.sku_code = v.sku
    ), unknown as materialized (
        select l.order_id as id, l.place from line l where l.sku_id is null and l.sku is not null
    ), skip as (
        select a.id from asked a where a.known or a.fault is not null
        union all
        select u.id from unknown u
    ), sold as (
        insert into crm.sales_order (order_id, source, order_no, channel, store_id, member_id, contact, anonymous_id, business_date,
            placed_at, currency, status, source_status, payment_status, fulfilment_status, tax_included, units, gross_minor,
            discount_minor, order_discount_minor, tax_minor, order_tax_minor, shipping_minor, net_minor, total_minor, change_minor,
            coupon_codes, source_updated_at, source_version)
        select a.id, a.source, a.order_no, a.channel, a.store_id, a.owner,
            case when a.owner is null and a.buyer_kind <> 'anonymous' then a.buyer_kind || ':' || a.buyer_token end,
            coalesce(a.anonymous_id, case a.buyer_kind when 'anonymous' then a.buyer_token end),
            coalesce(a.business_date, a.placed_on), a.placed_at, a.currency, a.status, a.status,
            crm.payment_status(a.status, a.total, a.paid - coalesce(a.change, 0), 0, a.paid is not null),
            crm.fulfilment_status(a.status, a.units, a.fulfilled, 0), coalesce(a.tax_included, false), a.units, a.gross, a.discount,
            coalesce(a.order_discount, 0), a.tax, coalesce(a.order_tax, 0), a.shipping, a.net, a.total, coalesce(a.change, 0),
            array(select jsonb_array_elements_text(a.coupon_codes)), a.source_updated_at, a.version
        from asked a where a.id <> all (array(select id from skip))
    ), lines as (
        insert into crm.order_line
        select l.id, l.order_id, l.n, l.owner, l.sku_id, l.product_id, l.q, l.price, l.gross, l.discount, l.tax,
            l.gross - l.discount - case when l.tax_included then l.tax else 0 end, l.void, l.text, coalesce(l.type, 'sale'),
            l.tax_included, coalesce(l.order_discount, 0), l.fulfilled
        from line l where l.order_id <> all (array(select id from skip))
    ), payments as (
        insert into crm.payment
        select v.id, a.id, v.n, a.owner, v.tender, v.amount, a.currency, v.status, v.reference, v.captured_at
        from asked a
        cross join lateral jsonb_to_recordset(a.payments) as v (id uuid, n int, tender text, amount bigint, status text,
            reference text, captured_at timestamptz)
        where a.id <> all (array(select id from skip))
    ), events as (
        insert into crm.order_event (event_id, order_id, member_id, type, status, payment_status, fulfilment_status, source,
            occurred_at)
        select coalesce(a.event, crm.uuid7()), a.id, a.owner, 'created', a.status,
            crm.payment_status(a.status, a.total, a.paid - coalesce(a.change, 0), 0, a.paid is not null),
            crm.fulfilment_status(a.status, a.units, a.fulfilled, 0), a.source, a.placed_at
        from asked a where a.id <> all (array(select id from skip))
    ), audited as (
        insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
        select a.c ->> 'actor', 'created', 'order', a.id::text, a.c ->> 'reason', a.c ->> 'request'
        from asked a where a.id <> all (array(select id from skip))
    )
    select coalesce(jsonb_agg(case
            when a.fault is not null then a.fault
            when a.id = any (u.ids) then crm.fault(a.i, 'unknown_sku', '/lines/' || (
                select min(u.place) - 1 from unknown u where u.id = a.id) || '/sku_code', 'there is no SKU with this code; put the SKU first')
            else jsonb_build_object('i', a.i, 'id', a.id, 'effect', 'created', 'row_version', 1)
        end) filter (where not a.known or a.fault is not null or a.id = any (u.ids)), '[]'),
        array_agg(a.i) filter (where a.known and a.fault is null and a.id <> all (u.ids))
    into answers, known
    from asked a cross join (select array(select u.id from unknown u) as ids) u;
    if known is null then
        return answers;
    end if;
    foreach ask in array crm.ask_orders((
        select jsonb_agg(x.value order by x.ordinality) from jsonb_array_elements(items) with ordinality x
        where (x.value ->> 'i')::int = any (known)))
    loop
        answers := answers || crm.edit_order(ask);
    end loop;
    return answers;
end
$$;

create function crm.overpaid(i int) returns jsonb
language sql immutable parallel safe as $$
    select crm.fault(i, 'overpaid', '/payments', 'more is paid than the order costs: say what was given back in change_minor')
$$;

-- Makes a known order what is asked for. Lines and payments that are as they were stay untouched; those that are gone are kept as
-- voided, with zero amounts. The newer version wins, an equal one changes nothing; without versions the newer time.
create function crm.edit_order(ask crm.order_ask) returns jsonb
language plpgsql as $$
declare
    old crm.sales_order;
    made crm.sales_order;
    back crm.come_back;
    wrong jsonb;
    touched bigint;
begin
    select * into strict old from crm.sales_order o
    where (o.source, o.order_no) = (ask.source, ask.order_no) for no key update;
    if coalesce(ask.source_version <= old.source_version, ask.source_updated_at < old.source_updated_at) then
        return crm.answer(ask.i, ask.c, 'order', old.order_id, 'unchanged', old.row_version);
    end if;
    wrong := crm.edit_fault(old.order_id, ask);
    if wrong is not null then
        return wrong;
    end if;
    touched := crm.edit_lines(old.order_id, ask.member_id, ask.lines)
        + crm.edit_payments(old.order_id, ask.member_id, ask.payments);
    back := crm.come_back(old.order_id);
    made := old;
    made.channel := ask.channel; made.store_id := ask.store_id; made.member_id := ask.member_id; made.contact := ask.contact;
    made.anonymous_id := ask.anonymous_id; made.business_date := ask.business_date; made.placed_at := ask.placed_at;
    made.currency := ask.currency; made.source_status := ask.status; made.tax_included := ask.tax_included; made.units := ask.units;
    made.gross_minor := ask.gross_minor; made.discount_minor := ask.discount_minor; made.tax_minor := ask.tax_minor;
    made.order_discount_minor := ask.order_discount_minor; made.order_tax_minor := ask.order_tax_minor;
    made.shipping_minor := ask.shipping_minor; made.net_minor := ask.net_minor; made.total_minor := ask.total_minor;
    made.change_minor := ask.change_minor; made.coupon_codes := ask.coupon_codes;
    made.source_updated_at := coalesce(ask.source_updated_at, old.source_updated_at);
    made.source_version := coalesce(ask.source_version, old.source_version);
    made.status := crm.order_status(ask.status, ask.units, back.units);
    made.payment_status := crm.payment_status(ask.status, ask.total_minor, ask.paid_minor - ask.change_minor, back.refunded,
        coalesce(cardinality(ask.payments), 0) > 0);
    made.fulfilment_status := crm.fulfilment_status(ask.status, ask.units, ask.fulfilled, back.units);
    if touched = 0 and made is not distinct from old then
        return crm.answer(ask.i, ask.c, 'order', old.order_id, 'unchanged', old.row_version);
    end if;
    update crm.sales_order o set channel = made.channel, store_id = made.store_id, member_id = made.member_id,
        contact = made.contact, anonymous_id = made.anonymous_id, business_date = made.business_date, placed_at = made.placed_at,
        currency = made.currency, status = made.status, source_status = made.source_status, payment_status = made.payment_status,
        fulfilment_status = made.fulfilment_status, tax_included = made.tax_included, units = made.units,
        gross_minor = made.gross_minor, discount_minor = made.discount_minor, order_discount_minor = made.order_discount_minor,
        tax_minor = made.tax_minor, order_tax_minor = made.order_tax_minor, shipping_minor = made.shipping_minor,
        net_minor = made.net_minor, total_minor = made.total_minor, change_minor = made.change_minor,
        coupon_codes = made.coupon_codes, source_updated_at = made.source_updated_at, source_version = made.source_version,
        row_version = o.row_version + 1, updated_at = now()
    where o.order_id = old.order_id
    returning o.* into made;
    if made.member_id is distinct from old.member_id then
        perform crm.change_owner(old.order_id, made.member_id);
    end if;
    perform crm.order_happened(made, case when made.status <> old.status then 'status_changed' else 'edited' end, old.status, null,
        null, made.source, coalesce(ask.source_updated_at, now()));
    return crm.answer(ask.i, ask.c, 'order', old.order_id, 'updated', made.row_version);
end
$$;

-- What is wrong with a change of an order: less than came back would be left of it, or it takes more money than the order costs.
create function crm.edit_fault(id uuid, ask crm.order_ask) returns jsonb
language plpgsql stable as $$
declare
    short int := crm.line_below_returned(id, ask.lines);
begin
    if short is not null then
        return crm.fault(ask.i, 'below_returned', '/lines',
            'more pieces or money went back for line ' || short || ' than it would have');
    end if;
    select min(f.payment_no) into short from (
        select f.payment_no, sum(f.amount_minor) as amount_minor from crm.refund f
        where f.order_id = id and f.payment_no is not null and f.status in ('pending', 'completed') group by f.payment_no) f
    left join unnest(ask.payments) p on p.payment_no = f.payment_no and p.status = 'captured'
    where f.amount_minor > coalesce(p.amount_minor, 0);
    if short is not null then
        return crm.fault(ask.i, 'below_refunded', '/payments', 'more was refunded of payment ' || short || ' than it would have');
    end if;
    if ask.paid_minor - ask.change_minor > ask.total_minor and ask.paid_minor > (
        select coalesce(sum(p.amount_minor), 0) from crm.payment p where p.order_id = id and p.status = 'captured')
    then
        return crm.overpaid(ask.i);
    end if;
    return null;
end
$$;

-- What hangs on an order travels with its owner.
create function crm.change_owner(id uuid, owner uuid) returns void
language plpgsql as $$
begin
    update crm.sales_return r set member_id = owner, row_version = r.row_version + 1, updated_at = now() where r.order_id = id;
    update crm.return_line l set member_id = owner from crm.sales_return r where r.order_id = id and l.return_id = r.return_id;
    update crm.refund f set member_id = owner where f.order_id = id;
end
$$;

create or replace function crm.edit_lines(order_id uuid, owner uuid, lines crm.order_line[]) returns bigint
language plpgsql as $$
declare
    result bigint;
begin
    with put as (
        insert into crm.order_line as t
        select n.order_line_id, edit_lines.order_id, n.line_no, n.member_id, n.sku_id, n.product_id, n.quantity,
            n.unit_price_minor, n.gross_minor, n.discount_minor, n.tax_minor, n.net_minor, n.voided, n.description, n.line_type,
            n.tax_included, n.order_discount_minor, n.fulfilled_quantity
        from unnest(lines) n
        on conflict on constraint order_line_order_id_line_no_key do update set member_id = excluded.member_id,
            sku_id = excluded.sku_id, product_id = excluded.product_id, quantity = excluded.quantity,
            unit_price_minor = excluded.unit_price_minor, gross_minor = excluded.gross_minor,
            discount_minor = excluded.discount_minor, tax_minor = excluded.tax_minor, net_minor = excluded.net_minor,
            voided = excluded.voided, description = excluded.description, line_type = excluded.line_type,
            tax_included = excluded.tax_included, order_discount_minor = excluded.order_discount_minor,
            fulfilled_quantity = excluded.fulfilled_quantity
        where (t.member_id, t.sku_id, t.product_id, t.quantity, t.unit_price_minor, t.gross_minor, t.discount_minor, t.tax_minor,
            t.voided, t.description, t.line_type, t.tax_included, t.order_discount_minor, t.fulfilled_quantity) is distinct from
            (excluded.member_id, excluded.sku_id, excluded.product_id, excluded.quantity, excluded.unit_price_minor,
            excluded.gross_minor, excluded.discount_minor, excluded.tax_minor, excluded.voided, excluded.description,
            excluded.line_type, excluded.tax_included, excluded.order_discount_minor, excluded.fulfilled_quantity)
        returning 1
    ), gone as (
        update crm.order_line t set voided = true, quantity = 0, gross_minor = 0, discount_minor = 0, order_discount_minor = 0,
            tax_minor = 0, net_minor = 0, fulfilled_quantity = null, member_id = owner
        where t.order_id = edit_lines.order_id and not exists (select from unnest(lines) n where n.line_no = t.line_no)
            and (t.voided, t.quantity, t.gross_minor, t.discount_minor, t.tax_minor, t.net_minor, t.member_id)
                is distinct from (true, 0::numeric, 0::bigint, 0::bigint, 0::bigint, 0::bigint, owner)
        returning 1
    )
    select (select count(*) from put) + (select count(*) from gone)
    into result;
    return result;
end
$$;

-- Whether an order of a status counts as bought: for points, and as what came of an action. Also one of which all came back: what came
-- back is taken off by itself, and money may stay.
create or replace function crm.bought(status text) returns boolean
language sql immutable parallel safe as $$
    select status in ('paid', 'partially_fulfilled', 'fulfilled', 'returned')
$$;

-- ---- Points -------------------------------------------------------------------------------------------------------------
-- The statements before, for orders that may have points already.
alter function crm.post_points(uuid[]) rename to post_points_again;

-- Brings the points of orders to what they should be now, once in a transaction; each order's row is locked by the caller. An order
-- that this transaction made has none yet: its points take one statement, which does not look into the ledger.
create function crm.post_points(orders uuid[]) returns void
language plpgsql as $$
declare
    done boolean;
begin
    if cardinality(orders) = 1 then
        with made as materialized (
            select o.order_id, o.member_id, a.account_id,
                case when crm.bought(o.status) then greatest(o.net_minor, 0) / crm.major(o.currency) else 0 end as points
            from crm.sales_order o left join crm.points_account a on a.member_id = o.member_id and a.kind = 'member'
            where o.order_id = orders[1] and o.row_version = 1 and o.xmin = pg_current_xact_id()::xid
        ), entry as materialized (
            select crm.uuid7() as entry_id, m.* from made m where m.account_id is not null and m.points > 0
        ), ledger as (
            insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
            select e.entry_id, 1, e.account_id, e.member_id, 'earn', e.points, e.order_id, now() from entry e
            union all
            select e.entry_id, 2, '00000000-0000-7000-8000-000000000001', null, 'earn', -e.points, e.order_id, now() from entry e
        ), credited as (
            update crm.points_account a set balance = a.balance + e.points, updated_at = now()
            from entry e where a.account_id = e.account_id
        )
        select exists (select from made) into done;
    end if;
    if done is not true then
        perform crm.post_points_again(orders);
    end if;
end
$$;
