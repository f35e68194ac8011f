-- $1 orders: the delivered actions whose outcome they may be, and those whose outcome they were said to be.
select a.action_id
from crm.sales_order o
join crm.action_window a on a.member_id = o.member_id and o.placed_at between a.delivered_at and a.outcome_until
where o.order_id = any($1::uuid[])
union
select w.action_id from crm.outcome w where w.order_id = any($1::uuid[])
