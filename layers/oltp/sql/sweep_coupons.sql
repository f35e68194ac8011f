select crm.sweep_coupons($1::timestamptz, $2::int)::int
