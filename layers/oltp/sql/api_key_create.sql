with made as (
    insert into crm.api_key (api_key_id, name, key_hash, role, expires_at)
    values ($1::uuid, $2::text, $3::text, $4::text, $5::timestamptz)
    on conflict (api_key_id) do nothing
    returning api_key_id
)
insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
select $6::text, 'created', 'api_key', api_key_id::text, $7::text, $8::text from made
