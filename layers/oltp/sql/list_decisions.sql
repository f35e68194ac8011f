-- $1 id that they come before, $2 status, $3 member, $4 limit: decisions, newest first.
select to_jsonb(r) from crm.recommendation r
where ($1::uuid is null or r.recommendation_id < $1)
  and ($2::text is null or r.status = $2)
  and ($3::uuid is null or r.member_id = $3)
order by r.recommendation_id desc
limit $4::bigint
