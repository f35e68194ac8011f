select crm.points_liability(coalesce($1::timestamptz, now()))
