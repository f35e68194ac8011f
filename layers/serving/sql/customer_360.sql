-- One wide row per member. Money is in minor units of `currency`, the one of most of the member's orders (ties: the first by
-- name); cancelled orders and returns that are not completed count nothing. Net is after returns.
with bought as (
    select member_id, currency, count(*) as orders, sum(units) as units, sum(net_minor) as net_minor,
        min(placed_at) as first_order_at, max(placed_at) as last_order_at
    from orders
    where member_id is not null and status <> 'cancelled'
    group by member_id, currency
),
main as (
    select member_id, currency, net_minor,
        row_number() over (partition by member_id order by orders desc, currency) as nth
    from bought
),
ordered as (
    select member_id, sum(orders) as orders, sum(units) as units, min(first_order_at) as first_order_at,
        max(last_order_at) as last_order_at
    from bought
    group by member_id
),
returned as (
    select member_id, currency, count(*) as returns, sum(units) as units, sum(net_minor) as net_minor
    from returns
    where member_id is not null and status = 'completed'
    group by member_id, currency
),
returned_all as (
    select member_id, sum(returns) as returns, sum(units) as units from returned group by member_id
),
consented as (
    select member_id, string_agg(purpose || ':' || channel, ',' order by purpose, channel) as consents
    from consents
    where status = 'granted'
    group by member_id
),
tagged as (
    select person, string_agg(tag, ',' order by tag) as tags from member_tags group by person
),
cohorted as (
    select person, string_agg(cohort, ',' order by cohort) as cohorts from member_cohorts group by person
),
visited as (
    select person, count(*) as sessions, max(ended_at) as last_seen_at from sessions group by person
)
select
    m.member_id, m.member_no, m.status, m.tier_code, m.enrolled_at, m.enrol_channel, s.store_code as home_store_code,
    m.locale, m.timezone, m.country_code, m.attributes,
    coalesce(o.orders, 0) as orders, coalesce(o.units, 0) as units, b.currency,
    coalesce(b.net_minor, 0) as gross_net_minor, coalesce(r.net_minor, 0) as returned_minor,
    coalesce(b.net_minor, 0) - coalesce(r.net_minor, 0) as net_minor,
    coalesce(ra.returns, 0) as returns, coalesce(ra.units, 0) as returned_units,
    o.first_order_at, o.last_order_at,
    coalesce(p.balance, 0) as points_balance,
    c.consents, t.tags, h.cohorts, f.features, f.as_of as features_as_of,
    coalesce(v.sessions, 0) as sessions, v.last_seen_at
from members m
left join stores s on s.store_id = m.home_store_id
left join ordered o on o.member_id = m.member_id
left join main b on b.member_id = m.member_id and b.nth = 1
left join returned r on r.member_id = m.member_id and r.currency = b.currency
left join returned_all ra on ra.member_id = m.member_id
left join points_accounts p on p.member_id = m.member_id and p.kind = 'member'
left join consented c on c.member_id = m.member_id
left join tagged t on t.person = 'm:' || cast(m.member_id as varchar)
left join cohorted h on h.person = 'm:' || cast(m.member_id as varchar)
left join member_features f on f.person = 'm:' || cast(m.member_id as varchar)
left join visited v on v.person = 'm:' || cast(m.member_id as varchar)
