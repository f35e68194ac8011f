select crm.export_section(s.relation, crm.persons_of(crm.owner_of(m.member_id)), $4::uuid, $5::int)
from crm.member m cross join crm.owned_relation s
where (m.member_id = $1::uuid or m.member_no = $2::text) and s.relation = $3::text and s.exported
order by m.member_id is not distinct from $1 desc limit 1
