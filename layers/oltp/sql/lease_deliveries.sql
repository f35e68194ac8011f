select inbox_id, source, account, delivery_id, kind, headers, coalesce(corrected, payload) as payload, revision, attempts, received_at,
    retry_since
from crm.lease_deliveries($1::jsonb) order by arrival
