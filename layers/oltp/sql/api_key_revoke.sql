with gone as (
    update crm.api_key set revoked_at = coalesce(revoked_at, now()) where api_key_id = $1::uuid returning api_key_id
), audited as (
    insert into crm.audit_log (actor, action, entity, entity_id) select 'keys', 'revoked', 'api_key', api_key_id::text from gone
)
select api_key_id from gone
