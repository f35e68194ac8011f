select crm.record_delivery($1::jsonb)
