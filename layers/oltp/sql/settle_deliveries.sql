select crm.settle_deliveries($1::jsonb)
