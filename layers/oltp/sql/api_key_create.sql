with made as (
    insert into crm.api_key (api_key_id, name, key_hash, role, expires_at, scopes, requests_per_s, burst)
    values ($1::uuid, $2::text, $3::text, $4::text, $5::timestamptz, $6::text[], $7::int, $8::int)
    on conflict (api_key_id) do nothing
    returning api_key_id
)
insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
select $9::text, 'created', 'api_key', api_key_id::text, $10::text, $11::text from made
