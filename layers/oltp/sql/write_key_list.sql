select write_key_id as id, name, null::text as role, null::text[] as scopes, null::int as requests_per_s, null::int as burst,
    created_at, null::timestamptz as expires_at, revoked_at, null::timestamptz as rotated_at,
    null::timestamptz as previous_until, null::timestamptz as last_used_at
from crm.write_key order by write_key_id
