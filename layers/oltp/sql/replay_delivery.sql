select crm.replay_delivery($1::jsonb, $2::bytea)
