select to_jsonb(p) from crm.product p where p.product_id = $1::uuid or p.product_code = $2::text
order by p.product_id is not distinct from $1 desc limit 1
