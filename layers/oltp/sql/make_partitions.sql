select crm.make_partitions($1::int)
