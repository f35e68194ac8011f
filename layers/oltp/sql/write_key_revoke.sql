with gone as (
    update crm.write_key set revoked_at = coalesce(revoked_at, now()) where write_key_id = $1::uuid returning write_key_id
), audited as (
    insert into crm.audit_log (actor, action, entity, entity_id) select 'keys', 'revoked', 'write_key', write_key_id::text from gone
)
select write_key_id from gone
