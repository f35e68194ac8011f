select ledger, name, (extract(epoch from since) * 1000000)::bigint, (extract(epoch from until) * 1000000)::bigint
from crm.ledger_partitions() where name is not null
