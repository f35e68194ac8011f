select crm.release_deliveries($1::uuid, $2::int)
