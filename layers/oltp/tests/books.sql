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
    select order_id, sum(quantity) as units, sum(gross_minor) as gross, sum(discount_minor) as discount, sum(tax_minor) as tax,
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
where coalesce(l.points, 0) <> case when o.member_id is not null and o.status in ('paid', 'partially_fulfilled', 'fulfilled')
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
