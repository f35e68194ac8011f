select t.product_id, to_jsonb(t) from crm.product t
where t.product_id > $1::uuid
    and ($3::timestamptz is null or t.updated_at >= $3)
    and ($4::text is null or t.status = $4)
order by t.product_id limit $2::bigint
