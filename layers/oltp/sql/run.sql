select crm.run($1::text::jsonb)
