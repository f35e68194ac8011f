select to_jsonb(crm.close_import($1::jsonb))
