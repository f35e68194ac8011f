select api_key_id as id, name, role, created_at, expires_at, revoked_at from crm.api_key order by api_key_id
