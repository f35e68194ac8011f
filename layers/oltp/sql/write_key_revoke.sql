with gone as (
    update crm.write_key set revoked_at = coalesce(revoked_at, now()) where write_key_id = $1::uuid returning write_key_id
), audited as (
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    select $2::text, 'revoked', 'write_key', write_key_id::text, $3::text, $4::text from gone
)
select write_key_id from gone
