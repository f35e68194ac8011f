select crm.sweep_tiers($1::text::timestamptz, $2::int)
