select crm.forget_deliveries($1::int, $2::int, $3::int)
