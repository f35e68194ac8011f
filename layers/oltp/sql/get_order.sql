-- Our id is meant where there is one: a number of theirs may look like it.
with ours as (
    select o.* from crm.sales_order o where o.order_id = $1::uuid
), hit as (
    select * from ours
    union all
    select o.* from crm.sales_order o where o.source = $2::text and o.order_no = $3::text and not exists (select from ours)
    union all
    select o.* from crm.sales_order o where $2 is null and o.order_no = $3 and not exists (select from ours)
)
select to_jsonb(o) || jsonb_build_object(
    'units', trim_scale(o.units)::text,
    'store_code', (select s.store_code from crm.store s where s.store_id = o.store_id),
    'member_no', (select m.member_no from crm.member m where m.member_id = o.member_id),
    'lines', (
        select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' - 'member_id' || jsonb_build_object(
            'quantity', trim_scale(l.quantity)::text, 'sku_code', k.sku_code) order by l.line_no), '[]')
        from crm.order_line l left join crm.sku k using (sku_id) where l.order_id = o.order_id),
    'payments', (
        select coalesce(jsonb_agg(to_jsonb(p) - 'order_id' - 'member_id' order by p.payment_no), '[]')
        from crm.payment p where p.order_id = o.order_id))
from hit o limit 2
