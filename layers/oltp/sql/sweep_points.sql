select crm.sweep_points(now(), $1::int)
