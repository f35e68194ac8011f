select to_jsonb(s) || jsonb_build_object('product_code', p.product_code)
from crm.sku s join crm.product p using (product_id)
where s.sku_id = $1::uuid or s.sku_code = $2::text
order by s.sku_id is not distinct from $1 desc limit 1
