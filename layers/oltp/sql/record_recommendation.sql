select crm.record_recommendation($1::jsonb)
