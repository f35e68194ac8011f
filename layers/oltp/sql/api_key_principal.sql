select api_key_id as id, name, role from crm.api_key
where key_hash = $1::text and revoked_at is null and (expires_at is null or expires_at > now())
