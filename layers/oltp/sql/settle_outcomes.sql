-- $1 actions, $2 now: how many outcomes changed.
select crm.settle_outcomes($1::uuid[], $2::timestamptz)
