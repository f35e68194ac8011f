-- $1 now, $2 limit: delivered actions without an outcome whose window is over, oldest first.
select a.action_id from crm.action_window a
where a.outcome_open and a.outcome_until < $1::timestamptz
order by a.created_at
limit $2::bigint
