select to_jsonb(crm.cancel_import($1::jsonb))
