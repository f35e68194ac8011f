select to_jsonb(m)
    || jsonb_build_object(
        'home_store_code', (select s.store_code from crm.store s where s.store_id = m.home_store_id),
        'identities', (
            select coalesce(jsonb_agg(jsonb_build_object('identity_id', i.identity_id, 'kind', i.kind, 'strength', i.strength,
                'created_at', i.created_at, 'value', case
                    when $3::boolean or i.kind in ('anonymous', 'external') then v.value
                    when length(v.value) < 8 then '***'
                    else left(v.value, 1) || '***' || right(v.value, 2) end) order by i.identity_id), '[]')
            from crm.member_identity i left join crm.member_identity_value v using (identity_id)
            where i.member_id = m.member_id),
        'consents', (
            select coalesce(jsonb_agg(to_jsonb(c) - 'member_id' order by c.purpose, c.channel), '[]')
            from crm.consent c where c.member_id = m.member_id),
        'points', (select a.balance from crm.points_account a where a.member_id = m.member_id and a.kind = 'member'))
    || case when $3 then coalesce((select to_jsonb(p) - 'member_id' - 'updated_at' from crm.member_pii p
        where p.member_id = m.member_id), '{}') else '{}' end
from crm.member m where m.member_id = $1::uuid or m.member_no = $2::text
order by m.member_id is not distinct from $1 desc limit 1
