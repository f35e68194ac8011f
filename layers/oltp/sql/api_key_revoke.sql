with gone as (
    update crm.api_key set revoked_at = coalesce(revoked_at, now()) where api_key_id = $1::uuid returning api_key_id
), audited as (
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    select $2::text, 'revoked', 'api_key', api_key_id::text, $3::text, $4::text from gone
)
select api_key_id from gone
