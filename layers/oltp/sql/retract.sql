select crm.retract($1::jsonb)
