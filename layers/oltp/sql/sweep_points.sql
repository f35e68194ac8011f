select crm.sweep_points($1::timestamptz, $2::int)::int
