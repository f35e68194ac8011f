select t.sku_id, to_jsonb(t) || jsonb_build_object('product_code', p.product_code)
from crm.sku t join crm.product p using (product_id)
where t.sku_id > $1::uuid
    and ($3::timestamptz is null or t.updated_at >= $3)
    and ($4::text is null or t.active = ($4 = 'active'))
order by t.sku_id limit $2::bigint
