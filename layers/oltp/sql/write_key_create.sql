with made as (
    insert into crm.write_key (write_key_id, name, key_hash)
    values ($1::uuid, $2::text, $3::text)
    on conflict (write_key_id) do nothing
    returning write_key_id
)
insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
select $4::text, 'created', 'write_key', write_key_id::text, $5::text, $6::text from made
