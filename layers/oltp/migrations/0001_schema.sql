-- The retail business truth. Schema `crm`; ids are UUIDs made by the caller or by a command; money is in minor units of the
-- row's currency; quantities are exact decimals; times are UTC. Tables outside the publication `storewide` hold what must not
-- travel: personal data, secrets, idempotency results.
--
-- All writes go through the functions of the later migrations, which look up every code that they store, and no row of a table that
-- others point to is ever deleted. So the hot tables (order_line, payment, points_ledger, and store_id of orders and returns)
-- have no foreign keys: each check would cost a look-up for every line, and would share-lock one row (a store, the house's
-- points account) from all orders at once.

create schema crm;
set local search_path = crm;

create table store (
    store_id uuid primary key,
    store_code text not null unique check (length(store_code) between 1 and 128),
    name text not null,
    type text not null default 'physical' check (type in ('physical', 'web', 'marketplace')),
    timezone text not null default 'UTC',
    country_code text check (country_code ~ '^[A-Z]{2}$'),
    region text,
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table product (
    product_id uuid primary key,
    product_code text not null unique check (length(product_code) between 1 and 128),
    title text not null,
    brand text,
    department text,
    category text,
    status text not null default 'active' check (status in ('active', 'archived')),
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table sku (
    sku_id uuid primary key,
    product_id uuid not null references product,
    sku_code text not null unique check (length(sku_code) between 1 and 128),
    gtin14 text check (gtin14 ~ '^[0-9]{14}$'),
    uom text not null default 'each',
    list_price_minor bigint check (list_price_minor >= 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    active boolean not null default true,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (list_price_minor is null or currency is not null)
);
create index on sku (product_id);

create table member (
    member_id uuid primary key,
    member_no text not null unique check (length(member_no) between 1 and 128),
    status text not null default 'active' check (status in ('active', 'suspended', 'closed', 'merged', 'erased')),
    tier_code text,
    enrolled_at timestamptz not null,
    enrol_channel text,
    home_store_id uuid references store,
    locale text,
    timezone text,
    country_code text check (country_code ~ '^[A-Z]{2}$'),
    attributes jsonb not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Personal data: not published, never on the bus.
create table member_pii (
    member_id uuid primary key references member,
    first_name text,
    last_name text,
    birth_date date,
    updated_at timestamptz not null default now()
);

-- How a member is recognised. `token` is a keyed hash for e-mail, phone and card, the value itself for the other kinds.
create table member_identity (
    identity_id uuid primary key,
    member_id uuid not null references member,
    kind text not null check (kind in ('email', 'phone', 'card', 'anonymous', 'external')),
    token text not null check (length(token) between 1 and 512),
    strength text not null default 'strong' check (strength in ('strong', 'weak')),
    created_at timestamptz not null default now()
);
create unique index member_identity_once on member_identity (kind, token) where strength = 'strong';
create index on member_identity (member_id);

-- The values behind the tokens: not published.
create table member_identity_value (
    identity_id uuid primary key references member_identity on delete cascade,
    value text not null
);

create table consent (
    consent_id uuid primary key,
    member_id uuid not null references member,
    purpose text not null check (purpose in ('marketing', 'personalisation', 'analytics', 'ads_sharing')),
    channel text not null check (channel in ('email', 'sms', 'push', 'phone', 'post', 'ads', 'web')),
    status text not null check (status in ('granted', 'denied', 'revoked')),
    source text,
    status_at timestamptz not null,
    expires_at timestamptz,
    row_version bigint not null default 1,
    unique (member_id, purpose, channel)
);

create table sales_order (
    order_id uuid primary key,
    source text not null check (length(source) between 1 and 64),
    order_no text not null check (length(order_no) between 1 and 128),
    channel text not null check (channel in ('pos', 'ecom', 'marketplace')),
    store_id uuid,
    member_id uuid references member,
    contact text,
    anonymous_id text,
    business_date date not null,
    placed_at timestamptz not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    status text not null check (status in ('pending', 'paid', 'partially_fulfilled', 'fulfilled', 'cancelled')),
    units numeric(18, 4) not null,
    gross_minor bigint not null,
    discount_minor bigint not null,
    tax_minor bigint not null,
    shipping_minor bigint not null default 0,
    net_minor bigint not null,
    total_minor bigint not null,
    coupon_codes text[] not null default '{}',
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- The number first: it alone is looked for, too.
    unique (order_no, source),
    check (net_minor = gross_minor - discount_minor),
    check (total_minor = net_minor + tax_minor + shipping_minor)
);
create index on sales_order (member_id, placed_at desc);
create index on sales_order (placed_at);

-- `member_id` repeats the order's, so that all that belongs to a member travels under one key. A line that an update of the order
-- no longer has is kept as voided with zero amounts: a deleted row would travel without its owner.
create table order_line (
    order_line_id uuid primary key,
    order_id uuid not null,
    line_no int not null check (line_no between 1 and 10000),
    member_id uuid,
    sku_id uuid not null,
    product_id uuid not null,
    quantity numeric(18, 4) not null check (quantity >= 0),
    unit_price_minor bigint check (unit_price_minor >= 0),
    gross_minor bigint not null check (gross_minor >= 0),
    discount_minor bigint not null default 0 check (discount_minor >= 0),
    tax_minor bigint not null default 0,
    net_minor bigint not null,
    voided boolean not null default false,
    description text,
    unique (order_id, line_no),
    check (net_minor = gross_minor - discount_minor)
);
create index on order_line (sku_id);

create table payment (
    payment_id uuid primary key,
    order_id uuid not null,
    payment_no int not null check (payment_no between 1 and 1000),
    member_id uuid,
    tender_type text not null check (tender_type in ('cash', 'card', 'gift_card', 'points', 'wallet', 'bnpl', 'other')),
    amount_minor bigint not null check (amount_minor >= 0),
    currency text not null,
    status text not null default 'captured' check (status in ('authorised', 'captured', 'failed', 'voided')),
    processor_ref text,
    captured_at timestamptz,
    unique (order_id, payment_no)
);

create table sales_return (
    return_id uuid primary key,
    source text not null check (length(source) between 1 and 64),
    return_no text not null check (length(return_no) between 1 and 128),
    order_id uuid not null references sales_order,
    member_id uuid references member,
    store_id uuid,
    status text not null default 'completed' check (status in ('requested', 'completed', 'rejected')),
    business_date date not null,
    returned_at timestamptz not null,
    reason text,
    currency text not null,
    units numeric(18, 4) not null,
    net_minor bigint not null,
    tax_minor bigint not null default 0,
    source_updated_at timestamptz,
    row_version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (return_no, source)
);
create index on sales_return (order_id);

create table return_line (
    return_line_id uuid primary key,
    return_id uuid not null references sales_return,
    order_line_id uuid not null references order_line,
    member_id uuid,
    quantity numeric(18, 4) not null check (quantity >= 0),
    net_minor bigint not null check (net_minor >= 0),
    tax_minor bigint not null default 0,
    unique (return_id, order_line_id)
);
create index on return_line (order_line_id);

-- Points: double entry. Every entry is two or more rows of `points_ledger` that sum to zero. Only member accounts keep a running
-- balance: a balance row of the house would be locked by every order.
create table points_account (
    account_id uuid primary key,
    kind text not null check (kind in ('member', 'issuance', 'redemption')),
    member_id uuid references member,
    balance bigint not null default 0 check (kind = 'member' or balance = 0),
    updated_at timestamptz not null default now(),
    check ((kind = 'member') = (member_id is not null))
);
create unique index points_account_member on points_account (member_id) where kind = 'member';
create unique index points_account_house on points_account (kind) where kind <> 'member';

create table points_ledger (
    entry_id uuid not null,
    side smallint not null,
    account_id uuid not null,
    member_id uuid,
    type text not null check (type in ('earn', 'reverse', 'adjust')),
    points bigint not null,
    order_id uuid,
    return_id uuid,
    occurred_at timestamptz not null,
    primary key (entry_id, side)
);
create index on points_ledger (account_id);
create index on points_ledger (order_id);
insert into points_account (account_id, kind) values
    ('00000000-0000-7000-8000-000000000001', 'issuance'),
    ('00000000-0000-7000-8000-000000000002', 'redemption');

-- What a command answered the first time, by its key: not published. Commands with a key take away what has been kept long enough.
create table idempotency (
    actor text not null,
    key text not null,
    request_hash bytea not null,
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (actor, key)
);
create index on idempotency (created_at);

create table audit_log (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    entity text not null,
    entity_id text not null,
    reason text,
    request_id text
);

-- API keys: not published; only the hash is kept.
create table api_key (
    api_key_id uuid primary key,
    name text not null,
    key_hash text not null unique,
    role text not null check (role in ('admin', 'writer', 'reader')),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Write keys of the gateway: published, so that the gateway knows them without asking the store.
create table write_key (
    write_key_id uuid primary key,
    name text not null,
    key_hash text not null unique,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

-- The life of a decision.
create table recommendation (
    recommendation_id uuid primary key,
    intent_id uuid not null,
    playbook text not null,
    playbook_version int not null,
    person text not null,
    member_id uuid references member,
    channel text not null,
    status text not null check (status in ('blocked', 'executing', 'executed', 'failed', 'retracted')),
    payload jsonb not null,
    recommended_at timestamptz not null,
    updated_at timestamptz not null default now(),
    unique (intent_id, playbook)
);
create index on recommendation (member_id, recommended_at desc);

create table guardrail_verdict (
    recommendation_id uuid not null references recommendation,
    position smallint not null,
    guardrail text not null,
    verdict text not null check (verdict in ('allow', 'deny')),
    reason text not null,
    member_id uuid,
    at timestamptz not null,
    primary key (recommendation_id, position)
);

create table action (
    action_id uuid primary key,
    recommendation_id uuid not null unique references recommendation,
    member_id uuid references member,
    channel text not null,
    payload jsonb not null,
    status text not null check (status in ('pending', 'delivered', 'failed')),
    attempts int not null default 0,
    next_attempt_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index action_due on action (next_attempt_at) where status = 'pending';
create index on action (member_id, created_at desc);

create table delivery (
    delivery_id uuid primary key,
    action_id uuid not null references action,
    member_id uuid,
    attempt int not null,
    status_code int,
    error text,
    at timestamptz not null,
    unique (action_id, attempt)
);

create table outcome (
    outcome_id uuid primary key,
    action_id uuid not null unique references action,
    member_id uuid,
    kind text not null check (kind in ('purchase', 'none')),
    order_id uuid,
    value_minor bigint,
    currency text,
    at timestamptz not null
);

-- A row image whole, where readers need what was there before (the owner of a deleted row) or where a column is large enough
-- to be left out of an update when it did not change.
alter table store replica identity full;
alter table product replica identity full;
alter table member replica identity full;
alter table member_identity replica identity full;
alter table consent replica identity full;
alter table recommendation replica identity full;
alter table action replica identity full;
