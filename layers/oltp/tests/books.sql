-- One row for each broken rule.
select 'entry ' || entry_id || ' does not sum to zero' from crm.points_ledger group by entry_id having sum(points) <> 0
union all
select 'balance of ' || a.account_id || ' is ' || a.balance || ', its ledger says ' || coalesce(sum(l.points), 0)
from crm.points_account a left join crm.points_ledger l using (account_id)
where a.kind = 'member' group by a.account_id having a.balance <> coalesce(sum(l.points), 0)
union all
select 'order ' || o.order_no || ' is not the sum of its lines'
from crm.sales_order o
left join (
    select order_id, sum(quantity) filter (where line_type in ('sale', 'gift_card')) as units, sum(gross_minor) as gross, sum(discount_minor) as discount, sum(tax_minor) as tax,
        sum(net_minor) as net
    from crm.order_line where not voided group by order_id) l using (order_id)
where (o.units, o.gross_minor, o.discount_minor, o.tax_minor, o.net_minor) is distinct from
    (coalesce(l.units, 0), coalesce(l.gross, 0), coalesce(l.discount, 0), coalesce(l.tax, 0), coalesce(l.net, 0))
union all
select 'line ' || l.order_line_id || ' was returned more than sold, in pieces or in money'
from crm.order_line l
join crm.return_line rl using (order_line_id)
join crm.sales_return r using (return_id)
where r.status <> 'rejected'
group by l.order_line_id, l.quantity, l.net_minor, l.voided
having sum(rl.quantity) > case when l.voided then 0 else l.quantity end
    or sum(rl.net_minor) > case when l.voided then 0 else l.net_minor end
union all
select 'return ' || r.return_no || ' is not the sum of its lines'
from crm.sales_return r join crm.return_line l using (return_id)
group by r.return_id having (r.units, r.net_minor, r.tax_minor) is distinct from (sum(l.quantity), sum(l.net_minor)::bigint, sum(l.tax_minor)::bigint)
union all
select 'order ' || o.order_no || ' has ' || coalesce(l.points, 0) || ' points'
from crm.sales_order o
left join (select order_id, member_id, sum(points) as points from crm.points_ledger where member_id is not null group by 1, 2) l
    using (order_id, member_id)
left join (select order_id, sum(net_minor) as net from crm.sales_return where status = 'completed' group by 1) r using (order_id)
where coalesce(l.points, 0) <> case when o.member_id is not null and o.status in ('paid', 'partially_fulfilled', 'fulfilled', 'returned')
    then floor(greatest(o.net_minor - coalesce(r.net, 0), 0) / 100) else 0 end
union all
select 'points of order ' || l.order_id || ' stay with a former owner'
from crm.points_ledger l join crm.sales_order o using (order_id)
where l.member_id is not null and l.member_id is distinct from o.member_id
group by l.order_id, l.member_id having sum(l.points) <> 0
union all
select 'line ' || l.order_line_id || ' has another owner than its order'
from crm.order_line l join crm.sales_order o using (order_id) where l.member_id is distinct from o.member_id
union all
select 'payment ' || p.payment_id || ' has another owner than its order'
from crm.payment p join crm.sales_order o using (order_id) where p.member_id is distinct from o.member_id
union all
select 'return ' || r.return_no || ' has another owner than its order'
from crm.sales_return r join crm.return_line l using (return_id) join crm.sales_order o using (order_id)
where r.member_id is distinct from o.member_id or l.member_id is distinct from o.member_id
union all
select 'order ' || o.order_no || ' is ' || o.status || ', ' || o.payment_status || ', ' || o.fulfilment_status
from crm.sales_order o
cross join lateral (
    select coalesce(sum(rl.quantity) filter (where ol.line_type in ('sale', 'gift_card')), 0) as units
    from crm.sales_return r join crm.return_line rl using (return_id) join crm.order_line ol using (order_line_id)
    where r.order_id = o.order_id and r.status = 'completed') b
cross join lateral (
    select coalesce(sum(amount_minor) filter (where status = 'captured'), 0) - o.change_minor as paid, bool_or(status <> 'voided') as tendered
    from crm.payment where order_id = o.order_id) p
cross join lateral (
    select coalesce(sum(amount_minor), 0) as refunded from crm.refund where order_id = o.order_id and status = 'completed') f
where (o.status = 'returned') <> (o.source_status = 'returned' or (o.source_status <> 'cancelled' and b.units > 0 and b.units >= o.units))
    or (o.payment_status in ('refunded', 'partially_refunded')) <> (f.refunded > 0)
    or (p.tendered and f.refunded = 0 and o.payment_status
        <> case when p.paid >= o.total_minor then 'paid' when p.paid > 0 then 'partially_paid' else 'unpaid' end)
    or (o.fulfilment_status in ('returned', 'partially_returned')) <> (b.units > 0 or (o.source_status = 'returned'
        and not exists (select from crm.order_line l where l.order_id = o.order_id and not l.voided and l.fulfilled_quantity is not null)))
union all
select 'of payment ' || p.payment_id || ' more was refunded than taken'
from crm.payment p join crm.refund f using (order_id, payment_no) where f.status in ('pending', 'completed')
group by p.payment_id having sum(f.amount_minor) > case when p.status = 'captured' then p.amount_minor else 0 end
union all
select 'refund ' || f.refund_id || ' has another owner or order than its return'
from crm.refund f join crm.sales_return r using (return_id)
where f.member_id is distinct from r.member_id or f.order_id is distinct from r.order_id
union all
select 'order ' || o.order_no || ' has no event of its making, or its last one is of another status'
from crm.sales_order o
where not exists (select from crm.order_event e where e.order_id = o.order_id and e.type = 'created')
    or o.status <> (select e.status from crm.order_event e where e.order_id = o.order_id order by e.event_id desc limit 1)
union all
select 'the refunds of return ' || r.return_no || ' are not those of its events'
from crm.sales_return r
where r.order_id is not null
    and coalesce((select sum(f.amount_minor) from crm.refund f where f.return_id = r.return_id and f.status = 'completed'), 0)
        <> coalesce((select sum(e.amount_minor) from crm.order_event e where e.return_id = r.return_id and e.type = 'refunded'), 0)
union all
select 'order ' || o.order_no || ' gave its lines ' || l.share || ' of its discount of ' || o.order_discount_minor
from crm.sales_order o
cross join lateral (select coalesce(sum(order_discount_minor), 0) as share from crm.order_line where order_id = o.order_id and not voided) l
where l.share <> o.order_discount_minor
union all
select 'an event of the order ' || e.order_id || ' without the order'
from crm.order_event e where not exists (select from crm.sales_order o where o.order_id = e.order_id)
union all
select 'coupon ' || k.coupon_id || ' counts ' || k.uses || ' + ' || k.reserved || ' uses, there are ' || count(r.*)
from crm.coupon k left join crm.coupon_redemption r on r.coupon_id = k.coupon_id and r.status in ('reserved', 'redeemed')
where k.uses_max is not null
group by k.coupon_id having (k.uses, k.reserved) is distinct from
    ((count(*) filter (where r.status = 'redeemed'))::int, (count(*) filter (where r.status = 'reserved'))::int)
union all
select 'redemption ' || r.redemption_id || ' is not the sum of its events'
from crm.coupon_redemption r left join crm.coupon_event e using (redemption_id)
group by r.redemption_id having (coalesce(sum(e.uses), 0), coalesce(sum(e.discount_minor), 0)) is distinct from
    case when r.status in ('reserved', 'redeemed') then (1::bigint, r.discount_minor::numeric) else (0::bigint, 0::numeric) end
union all
select 'coupon ' || k.coupon_id || ' is ' || k.status || ', its ledger says otherwise'
from crm.coupon k
where not exists (select from crm.coupon_event e where e.coupon_id = k.coupon_id and e.type = 'issued')
    or (k.status = 'void') <> exists (select from crm.coupon_event e where e.coupon_id = k.coupon_id and e.type = 'voided')
    or (k.status = 'expired' and not exists (select from crm.coupon_event e where e.coupon_id = k.coupon_id and e.type = 'expired'))
union all
select 'of definition ' || d.definition_code || ' not so much is left as its ledger says'
from crm.coupon_definition d
left join lateral (
    select sum(l.uses_left) as uses, sum(l.money_left) as money, count(*) as parts
    from crm.coupon_allowance l where l.definition_id = d.definition_id) l on true
left join lateral (
    select coalesce(sum(e.uses), 0) as uses, coalesce(sum(e.discount_minor) filter (where e.currency = d.currency), 0) as money
    from crm.coupon_event e where e.definition_id = d.definition_id) e on true
where (l.parts > 0) <> (d.global_limit is not null or d.budget_minor is not null)
    or l.uses is distinct from d.global_limit - e.uses or l.money is distinct from d.budget_minor - e.money
union all
select 'batch ' || b.batch_id || ' has not as many codes as it says'
from crm.coupon_batch b left join crm.coupon k using (batch_id) left join crm.coupon_code s using (coupon_id)
group by b.batch_id having count(s.*) <> b.codes
