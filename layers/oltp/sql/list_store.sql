select t.store_id, to_jsonb(t) from crm.store t
where t.store_id > $1::uuid
    and ($3::timestamptz is null or t.updated_at >= $3)
    and ($4::text is null or t.type = $4)
order by t.store_id limit $2::bigint
