select crm.export_member(crm.owner_of(m.member_id), $3::int)
from crm.member m where m.member_id = $1::uuid or m.member_no = $2::text
order by m.member_id is not distinct from $1 desc limit 1
