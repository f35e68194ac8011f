select crm.audit_member(jsonb_build_object('actor', $3::text, 'reason', $4::text, 'request', $5::text), 'exported', crm.owner_of(m.member_id))::text
from crm.member m where m.member_id = $1::uuid or m.member_no = $2::text
order by m.member_id is not distinct from $1 desc limit 1
