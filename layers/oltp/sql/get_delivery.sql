select jsonb_build_object('id', inbox_id, 'source', source, 'account', account, 'delivery_id', delivery_id, 'kind', kind,
    'entity_key', entity_key, 'status', status, 'attempts', attempts, 'revision', revision, 'code', code, 'reason', reason, 'line', line,
    'pointer', pointer, 'lines', lines, 'corrected', corrected is not null, 'received_at', received_at,
    'next_attempt_at', case when status in ('received', 'retry') then next_attempt_at end, 'settled_at', settled_at) as facts,
    headers, payload, corrected
from crm.inbox where inbox_id = $1::uuid
