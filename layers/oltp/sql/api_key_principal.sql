-- Who owns a key. That it was used is written down within an hour: a row a request would be a row too many.
with owner as (
    select * from crm.api_key
    where (key_hash = $1::text or (previous_hash = $1 and previous_until > now()))
        and revoked_at is null and (expires_at is null or expires_at > now())
), used as (
    update crm.api_key k set last_used_at = now() from owner o
    where k.api_key_id = o.api_key_id and (o.last_used_at is null or o.last_used_at < now() - interval '1 hour')
)
select api_key_id as id, name, role, scopes, requests_per_s, burst from owner
