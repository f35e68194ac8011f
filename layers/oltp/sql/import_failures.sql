select line, status, code, pointer, detail from crm.import_failure where import_id = $1::uuid and line > $2::bigint order by line limit $3::int
