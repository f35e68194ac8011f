select write_key_id as id, name, null::text as role, created_at, null::timestamptz as expires_at, revoked_at
from crm.write_key order by write_key_id
