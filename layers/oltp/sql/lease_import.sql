select import_id, actor, reason, request_id, chunk_no, first_line, body from crm.lease_import($1::jsonb)
