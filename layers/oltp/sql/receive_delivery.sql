select crm.receive_delivery($1::jsonb, $2::bytea)
