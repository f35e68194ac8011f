select crm.drop_partitions($1::text, $2::int)
