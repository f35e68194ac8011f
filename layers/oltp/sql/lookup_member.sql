select crm.lookup_member($1::text::jsonb)
