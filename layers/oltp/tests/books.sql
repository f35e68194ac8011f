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
select 'level ' || v.level_id || ' has ' || v.on_hand || ', its movements say ' || coalesce(m.quantity, 0)
from crm.inventory_level v
left join (select store_id, sku_id, sum(quantity) as quantity from crm.inventory_movement group by 1, 2) m using (store_id, sku_id)
where v.on_hand <> coalesce(m.quantity, 0)
union all
select 'movement ' || m.movement_id || ' is of no level'
from crm.inventory_movement m left join crm.inventory_level v using (store_id, sku_id) where v.level_id is null
union all
select 'level ' || v.level_id || ' has ' || v.reserved || ' reserved, the reservations say ' || coalesce(r.quantity, 0)
from crm.inventory_level v
left join (select level_id, sum(quantity) as quantity from crm.inventory_reservation where status = 'active' group by 1) r using (level_id)
where v.reserved <> coalesce(r.quantity, 0)
union all
select 'level ' || v.level_id || ' has ' || v.in_transit || ' on the way, the transfers say ' || coalesce(t.quantity, 0)
from crm.inventory_level v
left join (
    select t.to_store_id as store_id, l.sku_id, sum(l.shipped - l.received - l.lost) as quantity
    from crm.inventory_transfer t join crm.inventory_transfer_line l using (transfer_id) group by 1, 2) t using (store_id, sku_id)
where v.in_transit <> coalesce(t.quantity, 0)
union all
select 'level ' || level_id || ' is oversold by ' || oversold from crm.inventory_level where oversold <> greatest(reserved - on_hand, 0)
union all
select 'transfer ' || t.transfer_no || ' moved something else than it says'
from crm.inventory_transfer t join crm.inventory_transfer_line l using (transfer_id)
left join (
    select transfer_id, sku_id, sum(quantity) filter (where type = 'transfer_out') as gone, sum(quantity) filter (where type = 'transfer_in') as come
    from crm.inventory_movement where transfer_id is not null group by 1, 2) m using (transfer_id, sku_id)
where (-m.gone, coalesce(m.come, 0)) is distinct from (l.shipped, l.received)
union all
select 'transfer ' || t.transfer_no || ' is ' || t.status
from crm.inventory_transfer t join crm.inventory_transfer_line l using (transfer_id)
group by t.transfer_id having (t.status = 'received') <> bool_and(l.shipped = l.received + l.lost)
union all
-- What left for an order is what it sold of SKUs that were tracked in its store by then, or were reserved elsewhere for it.
select 'order ' || o.order_no || ' took ' || coalesce(-m.quantity, 0) || ' of ' || u.sku_code || ' out of stock'
from crm.sales_order o
cross join crm.sku u
left join (
    select l.order_id, coalesce(c.component_sku_id, l.sku_id) as sku_id, sum(l.quantity * coalesce(c.quantity, 1)) as quantity
    from crm.order_line l join crm.sales_order o using (order_id)
    left join crm.bundle_component c on c.bundle_sku_id = l.sku_id and o.created_at >= c.since and (o.created_at < c.until) is not false
    where not l.voided group by 1, 2) l on (l.order_id, l.sku_id) = (o.order_id, u.sku_id)
left join (
    select r.order_source, r.order_no, r.sku_id, sum(r.quantity) as quantity from crm.inventory_reservation r where r.status = 'captured'
    group by 1, 2, 3) r on (r.order_source, r.order_no, r.sku_id) = (o.source, o.order_no, u.sku_id)
left join (
    select order_id, sku_id, sum(quantity) as quantity from (
        select order_id, sku_id, quantity from crm.inventory_movement where type = 'sale' and order_id is not null
        union all
        select o.order_id, m.sku_id, m.quantity
        from crm.inventory_reservation r
        join crm.sales_order o on (o.source, o.order_no) = (r.order_source, r.order_no) and o.status <> 'pending'
        join crm.inventory_movement m on (m.reservation_id, m.sku_id) = (r.reservation_id, r.sku_id)) x
    group by 1, 2) m on (m.order_id, m.sku_id) = (o.order_id, u.sku_id)
left join crm.inventory_level v on (v.store_id, v.sku_id) = (o.store_id, u.sku_id) and v.created_at <= o.created_at
where coalesce(-m.quantity, 0) <> case when o.status in ('pending', 'cancelled') then 0
    when v.level_id is not null then round(coalesce(l.quantity, 0), 4)
    else round(least(coalesce(l.quantity, 0), coalesce(r.quantity, 0)), 4) end
union all
select 'return ' || r.return_no || ' brought ' || coalesce(m.quantity, 0) || ' of ' || u.sku_code || ' into stock'
from crm.sales_return r
left join crm.sales_order o using (order_id)
cross join crm.sku u
left join (
    select b.return_id, coalesce(c.component_sku_id, b.sku_id) as sku_id, sum(round(b.quantity * coalesce(c.quantity, 1), 4)) as quantity
    from crm.return_line b join crm.sales_return r using (return_id) left join crm.sales_order o using (order_id)
    left join crm.bundle_component c on c.bundle_sku_id = b.sku_id and coalesce(o.created_at, r.created_at) >= c.since
        and (coalesce(o.created_at, r.created_at) < c.until) is not false
    where b.restock group by 1, 2) l on (l.return_id, l.sku_id) = (r.return_id, u.sku_id)
left join (
    select return_id, sku_id, sum(quantity) as quantity from crm.inventory_movement where type = 'return' group by 1, 2) m
    on (m.return_id, m.sku_id) = (r.return_id, u.sku_id)
left join crm.inventory_level v
    on (v.store_id, v.sku_id) = (coalesce(r.store_id, o.store_id), u.sku_id) and v.created_at <= r.created_at
where coalesce(m.quantity, 0) <> case when v.level_id is null or r.status <> 'completed' or o.status in ('pending', 'cancelled') then 0
    else coalesce(l.quantity, 0) end
union all
select 'category ' || c.category_code || ' is not where its parent is'
from crm.category c left join crm.category p on p.category_id = c.parent_id
where c.path <> coalesce(p.path, '{}') || c.category_code
union all
select 'product ' || p.product_code || ' does not show the names of its brand and category'
from crm.product p
left join crm.brand b using (brand_id)
left join crm.category c using (category_id)
left join crm.category r on r.category_code = c.path[1]
where (p.brand, p.category, p.department) is distinct from
    (coalesce(b.name, p.brand), coalesce(c.name, p.category), coalesce(r.name, p.department))
union all
select 'sku ' || s.sku_code || ' is known by a GTIN that it does not have'
from crm.sku s left join crm.sku_gtin g on (g.sku_id, g.gtin14) = (s.sku_id, s.gtin14) where s.gtin14 is not null and g.sku_id is null
union all
select 'price ' || a.price_code || ' overlaps ' || b.price_code
from crm.price a join crm.price b on (a.sku_id, a.scope, a.type, a.currency, a.priority) = (b.sku_id, b.scope, b.type, b.currency, b.priority)
    and a.price_code < b.price_code and a.valid && b.valid and not a.withdrawn and not b.withdrawn
