select to_jsonb(crm.settle_chunk($1::jsonb))
