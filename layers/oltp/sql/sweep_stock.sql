select crm.sweep_stock($1::timestamptz, $2::int)::int
