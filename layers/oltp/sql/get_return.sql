-- Our id is meant where there is one: a number of theirs may look like it.
with ours as (
    select r.* from crm.sales_return r where r.return_id = $1::uuid
), hit as (
    select * from ours
    union all
    select r.* from crm.sales_return r where r.source = $2::text and r.return_no = $3::text and not exists (select from ours)
    union all
    select r.* from crm.sales_return r where $2 is null and r.return_no = $3 and not exists (select from ours)
)
select to_jsonb(r) || jsonb_build_object(
    'units', trim_scale(r.units)::text,
    'order_source', o.source,
    'order_no', o.order_no,
    'store_code', (select s.store_code from crm.store s where s.store_id = r.store_id),
    'member_no', (select m.member_no from crm.member m where m.member_id = r.member_id),
    'lines', (
        select coalesce(jsonb_agg(to_jsonb(l) - 'return_id' - 'member_id' || jsonb_build_object(
            'quantity', trim_scale(l.quantity)::text, 'line_no', ol.line_no) order by ol.line_no), '[]')
        from crm.return_line l join crm.order_line ol using (order_line_id) where l.return_id = r.return_id))
from hit r join crm.sales_order o using (order_id) limit 2
