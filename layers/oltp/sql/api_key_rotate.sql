-- $1 key, $2 hash of the new secret, $3 seconds for which the old one works on. A repeat with the same hash changes nothing more.
with turned as (
    update crm.api_key set key_hash = $2::text, rotated_at = now(),
        previous_hash = case when $3::bigint > 0 then key_hash end,
        previous_until = case when $3 > 0 then now() + make_interval(secs => $3) end
    where api_key_id = $1::uuid and revoked_at is null and (expires_at is null or expires_at > now()) and key_hash <> $2
    returning api_key_id
), audited as (
    insert into crm.audit_log (actor, action, entity, entity_id, reason, request_id)
    select $4::text, 'rotated', 'api_key', api_key_id::text, $5::text, $6::text from turned
)
select previous_until from crm.api_key where api_key_id = $1 and key_hash = $2
union all
select case when $3 > 0 then now() + make_interval(secs => $3) end from turned
limit 1
