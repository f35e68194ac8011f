select crm.sweep_tiers($1::timestamptz, $2::int)::int
