select to_jsonb(crm.replay_deliveries($1::jsonb))
