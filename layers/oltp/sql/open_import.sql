select crm.open_import($1::jsonb)
