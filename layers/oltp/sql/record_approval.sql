select crm.record_approval($1::jsonb)
