select t.return_id, to_jsonb(t) || jsonb_build_object('units', trim_scale(t.units)::text) from crm.sales_return t
where t.return_id > $1::uuid
    and ($3::timestamptz is null or t.updated_at >= $3)
    and ($4::text is null or t.status = $4)
    and ($6::text is null or t.member_id = coalesce(
        (select m.member_id from crm.member m where m.member_id = $5::uuid),
        (select m.member_id from crm.member m where m.member_no = $6)))
order by t.return_id limit $2::bigint
