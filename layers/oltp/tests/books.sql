-- One row for each broken rule.
select 'entry ' || entry_id || ' does not sum to zero' from crm.points_ledger group by entry_id having sum(points) <> 0
union all
select 'balance of ' || a.account_id || ' is ' || a.balance || ', its ledger says ' || coalesce(sum(l.points), 0)
from crm.points_account a left join crm.points_ledger l using (account_id)
where a.member_id is not null group by a.account_id having a.balance <> coalesce(sum(l.points), 0)
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
left join (
    select order_id, crm.owner_of(member_id) as member_id, sum(points) as points
    from crm.points_ledger where member_id is not null group by 1, 2) l
    on l.order_id = o.order_id and l.member_id = crm.owner_of(o.member_id)
left join (select order_id, sum(net_minor) as net from crm.sales_return where status = 'completed' group by 1) r on r.order_id = o.order_id
cross join lateral (
    select * from crm.points_program p
    where p.program_code = 'default' and p.valid_from <= least(o.placed_at, o.created_at) order by p.valid_from desc limit 1) p
where coalesce(l.points, 0) <> case when o.member_id is not null and o.status in ('paid', 'partially_fulfilled', 'fulfilled', 'returned')
    then floor(greatest(o.net_minor - coalesce(r.net, 0), 0) * p.earn_points / (p.earn_units * 100)) else 0 end
union all
select 'points of order ' || l.order_id || ' stay with a former owner'
from crm.points_ledger l join crm.sales_order o using (order_id)
where l.member_id is not null and crm.owner_of(l.member_id) is distinct from crm.owner_of(o.member_id)
group by l.order_id, crm.owner_of(l.member_id) having sum(l.points) <> 0
union all
select 'lot ' || l.lot_id || ' holds ' || l.remaining || ', its uses leave ' || l.points - coalesce(sum(u.points), 0)
from crm.points_lot l left join crm.points_lot_use u using (lot_id)
group by l.lot_id having l.remaining <> l.points - coalesce(sum(u.points), 0)
union all
select 'more came back to lot ' || lot_id || ' than ' || origin_id || ' had taken'
from crm.points_lot_use group by lot_id, origin_id having sum(points) < 0
union all
select 'the points of member ' || m.member_no || ' do not add up: ' || b::text
from crm.member m
cross join lateral (
    select coalesce(sum(a.balance) filter (where a.kind = 'member'), 0) as spendable,
        coalesce(sum(a.balance) filter (where a.kind = 'pending'), 0) as pending,
        coalesce(sum(a.balance) filter (where a.kind = 'reserved'), 0) as reserved,
        coalesce(sum(a.balance) filter (where a.kind = 'owed'), 0) as owed,
        (select coalesce(sum(l.remaining), 0) from crm.points_lot l where l.member_id = m.member_id and not l.pending) as live,
        (select coalesce(sum(l.remaining), 0) from crm.points_lot l where l.member_id = m.member_id and l.pending) as waiting,
        (select coalesce(sum(r.points), 0) from crm.points_reservation r where r.member_id = m.member_id and r.status = 'held') as held
    from crm.points_account a where a.member_id = m.member_id) b
where b.live > b.spendable or b.waiting <> b.pending or b.held <> b.reserved or (b.owed < 0 and b.spendable > 0)
union all
select 'reservation ' || r.reservation_id || ' and what its entries say differ'
from crm.points_reservation r
left join crm.points_ledger l on l.origin_id = r.reservation_id and l.type in ('capture', 'release')
    and l.account_id in (select account_id from crm.points_account where kind = 'reserved')
group by r.reservation_id
having coalesce(-sum(l.points), 0) <> case r.status when 'held' then 0 else r.points end
    or coalesce(-sum(l.points) filter (where l.type = 'capture'), 0) <> r.captured
union all
select 'more of ' || l.origin_id || ' came back than was spent'
from crm.points_ledger l
left join crm.points_ledger b on b.entry_id = l.origin_id and b.side = 1 and b.type = 'burn'
left join crm.points_reservation r on r.reservation_id = l.origin_id
where l.type = 'refund' and l.member_id is not null
group by l.origin_id, b.points, r.captured having sum(l.points) > coalesce(-b.points, r.captured, 0)
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
select o.relation || ' of member ' || m.member_no || ' stayed behind when it was merged'
from crm.member m
cross join lateral (
    select 'order' as relation from crm.sales_order o where o.member_id = m.member_id
    union all select 'return' from crm.sales_return r where r.member_id = m.member_id
    union all select 'identity' from crm.member_identity i where i.member_id = m.member_id
    union all select 'membership' from crm.external_membership x where x.member_id = m.member_id
    union all select 'balance' from crm.points_account a where a.member_id = m.member_id and a.kind = 'member' and a.balance <> 0) o
where m.status = 'merged'
union all
select 'member ' || m.member_no || ' was merged into one that is ' || o.status
from crm.member m join crm.member o on o.member_id = m.merged_into_member_id where o.status = 'merged' or (o.status = 'erased' and m.status <> 'erased')
union all
select 'member ' || m.member_no || ' is ' || m.status || ' and has ' || count(g.merge_id) || ' open merges'
from crm.member m left join crm.member_merge g on g.from_member_id = m.member_id and g.undone_at is null
where m.status <> 'erased' group by m.member_id having count(g.merge_id) <> case m.status when 'merged' then 1 else 0 end
union all
select 'consent ' || d.consent_event_id || ' was said last, and is not what holds'
from (
    select distinct on (m.member_id, e.purpose, e.channel) m.member_id as owner, e.*
    from crm.member m join crm.member p on m.member_id in (p.member_id, p.merged_into_member_id)
    join crm.consent_event e on e.member_id = p.member_id
    where m.status <> 'merged'
    order by m.member_id, e.purpose, e.channel, e.status_at desc, e.status = 'granted', e.consent_event_id) d
left join crm.consent c on (c.member_id, c.purpose, c.channel) = (d.owner, d.purpose, d.channel)
where (c.status, c.status_at, c.expires_at) is distinct from (d.status, d.status_at, d.expires_at)
union all
select 'tier of member ' || m.member_no || ' is not the last of its history'
from crm.member m left join crm.member_tier t on t.member_id = m.member_id and t.until is null
where m.tier_code is distinct from t.tier_code
union all
select 'something personal is left of member ' || m.member_no
from crm.member m
where m.status = 'erased' and (m.attributes <> '{}'
    or exists (select from crm.member_identity i where i.member_id = m.member_id)
    or exists (select from crm.sales_order o where o.member_id = m.member_id and coalesce(o.contact, o.anonymous_id) is not null))
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
union all
select 'delivery ' || i.inbox_id || ' is done and says why not'
from crm.inbox i where i.status = 'done' and i.code is not null
union all
select 'import ' || j.import_id || ' has ' || j.lines || ' lines, and ' || (j.done + j.failed + coalesce(c.lines, 0)) || ' are accounted for'
from crm.import_job j left join (select import_id, sum(lines) as lines from crm.import_chunk group by 1) c using (import_id)
where j.status in ('queued', 'running', 'cancelling', 'done') and j.lines <> j.done + j.failed + coalesce(c.lines, 0)
union all
select 'import ' || j.import_id || ' has ' || j.failed || ' failures, and ' || count(f.line) || ' are told'
from crm.import_job j left join crm.import_failure f using (import_id) group by j.import_id having j.failed <> count(f.line)
union all
select 'import ' || j.import_id || ' is over and has lines to run'
from crm.import_job j join crm.import_chunk c using (import_id) where j.status in ('done', 'cancelled')
