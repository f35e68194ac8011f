select crm.add_import_chunk($1::jsonb, $2::bytea)
