select api_key_id as id, name, role, scopes, requests_per_s, burst, created_at, expires_at, revoked_at, rotated_at, previous_until,
    last_used_at
from crm.api_key order by api_key_id
