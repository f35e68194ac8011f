-- One wide row per member. Money is in minor units of `currency`, the one of most of the member's orders (ties: the first by
-- name); cancelled orders and returns that are not completed count nothing. Net is after returns. Orders that a guest made with a
-- contact that is the member's today are the member's, as in features; a return is its order's.
with bought as (
    select person_now as person, currency, count(*) as orders, sum(units) as units, sum(net_minor) as net_minor,
        min(placed_at) as first_order_at, max(placed_at) as last_order_at
    from orders_resolved
    where status <> 'cancelled'
    group by person_now, currency
),
main as (
    select person, currency, net_minor,
        row_number() over (partition by person order by orders desc, currency) as nth
    from bought
),
ordered as (
    select person, sum(orders) as orders, sum(units) as units, min(first_order_at) as first_order_at,
        max(last_order_at) as last_order_at
    from bought
    group by person
),
returned as (
    select coalesce(o.person_now, 'm:' || cast(r.member_id as varchar)) as person, r.currency, count(*) as returns,
        sum(r.units) as units, sum(r.net_minor) as net_minor
    from returns r
    left join orders_resolved o on o.order_id = r.order_id
    where r.status = 'completed'
    group by 1, 2
),
returned_all as (
    select person, sum(returns) as returns, sum(units) as units from returned group by person
),
consented as (
    select member_id, string_agg(purpose || ':' || channel, ',' order by purpose, channel) as consents
    from consents
    where status = 'granted' and (expires_at is null or expires_at > cast(now() as timestamp))
    group by member_id
),
pointed as (
    select member_id, sum(case when kind = 'member' then balance else 0 end) as spendable,
        sum(case when kind = 'pending' then balance else 0 end) as pending,
        sum(case when kind = 'reserved' then balance else 0 end) as reserved,
        sum(case when kind = 'owed' then balance else 0 end) as owed
    from points_accounts
    where member_id is not null
    group by member_id
),
couponed as (
    select member_id,
        sum(case when status = 'issued' and (expires_at is null or expires_at > cast(now() as timestamp)) then 1 else 0 end) as usable
    from coupons
    where member_id is not null
    group by member_id
),
redeemed as (
    select member_id, count(*) as redemptions
    from coupon_redemptions
    where status = 'redeemed' and member_id is not null
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
    m.member_id, m.member_no, m.status, m.merged_into_member_id, m.tier_code, m.tier_valid_to, m.enrolled_at, m.enrol_channel, s.store_code as home_store_code,
    m.locale, m.timezone, m.country_code, m.attributes,
    coalesce(o.orders, 0) as orders, coalesce(o.units, 0) as units, b.currency,
    coalesce(b.net_minor, 0) as gross_net_minor, coalesce(r.net_minor, 0) as returned_minor,
    coalesce(b.net_minor, 0) - coalesce(r.net_minor, 0) as net_minor,
    coalesce(ra.returns, 0) as returns, coalesce(ra.units, 0) as returned_units,
    o.first_order_at, o.last_order_at,
    coalesce(p.spendable, 0) as points_balance, coalesce(p.pending, 0) as points_pending,
    coalesce(p.reserved, 0) as points_reserved, coalesce(p.owed, 0) as points_owed,
    coalesce(k.usable, 0) as coupons, coalesce(rd.redemptions, 0) as coupon_redemptions,
    c.consents, t.tags, h.cohorts, f.features, f.as_of as features_as_of,
    coalesce(v.sessions, 0) as sessions, v.last_seen_at
from (select 'm:' || cast(member_id as varchar) as person, members.* from members) m
left join stores s on s.store_id = m.home_store_id
left join ordered o on o.person = m.person
left join main b on b.person = m.person and b.nth = 1
left join returned r on r.person = m.person and r.currency = b.currency
left join returned_all ra on ra.person = m.person
left join pointed p on p.member_id = m.member_id
left join couponed k on k.member_id = m.member_id
left join redeemed rd on rd.member_id = m.member_id
left join consented c on c.member_id = m.member_id
left join tagged t on t.person = m.person
left join cohorted h on h.person = m.person
left join member_features f on f.person = m.person
left join visited v on v.person = m.person
