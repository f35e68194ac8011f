select to_jsonb(s) from crm.store s where s.store_id = $1::uuid or s.store_code = $2::text
order by s.store_id is not distinct from $1 desc limit 1
