-- Outcomes of actions, as the orders in the store say.

set local search_path = crm;

-- True until an outcome is written; with it, the actions that still need one are found without a look at the others.
alter table action add column outcome_open boolean not null default true;
create index action_outcome_open on action (created_at) where outcome_open and status = 'delivered';
create index outcome_order on outcome (order_id);

-- Delivered actions and their window: it opens when the attempt that arrived was sent, and its length is part of the
-- recommendation, so that a later version of a playbook does not move it.
create view action_window as
select a.action_id, a.member_id, a.created_at, a.outcome_open, d.delivered_at,
       d.delivered_at + make_interval(secs => coalesce((r.payload #>> '{outcome,window_s}')::double precision, 0)) as outcome_until
from action a
join recommendation r using (recommendation_id)
cross join lateral (
    select min(d.at) as delivered_at from delivery d where d.action_id = a.action_id and d.status_code between 200 and 299
) d
where a.status = 'delivered' and d.delivered_at is not null;

-- What of an order stays with its buyer: its money less what completed returns took back. Orders that do not count, for points
-- neither, and those of which nothing stays, are no purchases.
create function purchase_of(member uuid, earliest timestamptz, latest timestamptz)
returns table (order_id uuid, value_minor bigint, currency text)
language plpgsql stable
set search_path = crm
as $$
begin
    return query select o.order_id, greatest(o.net_minor - r.net_minor, 0), o.currency
    from sales_order o
    cross join lateral (
        select coalesce(sum(b.units), 0) as units, coalesce(sum(b.net_minor), 0)::bigint as net_minor
        from sales_return b where b.order_id = o.order_id and b.status = 'completed') r
    where o.member_id = member and o.placed_at between earliest and latest
      and bought(o.status) and (o.units > r.units or o.net_minor > r.net_minor)
    order by o.placed_at, o.order_id
    limit 1;
end
$$;

-- Writes the outcome of some delivered actions: the member's first order within the window after the delivery is the purchase. It
-- may run at any time and any number of times. Without a purchase there is an outcome only once the window is over, or where a
-- purchase was written that no longer counts. Returns how many outcomes changed.
create function settle_outcomes(actions uuid[], moment timestamptz) returns int
language plpgsql
set search_path = crm
as $$
declare
    settled record;
    changed int := 0;
begin
    -- One at a time for each action: each statement below sees what was committed before the lock was granted, so whoever comes
    -- last is right.
    perform 1 from action where action_id = any(actions) order by action_id for update;
    for settled in
        insert into outcome (outcome_id, action_id, member_id, kind, order_id, value_minor, currency, at)
        select gen_random_uuid(), a.action_id, a.member_id, case when o.order_id is null then 'none' else 'purchase' end,
               o.order_id, o.value_minor, o.currency, moment
        from action_window a
        left join lateral purchase_of(a.member_id, a.delivered_at, a.outcome_until) o on true
        where a.action_id = any(actions)
          and (o.order_id is not null or a.outcome_until < moment
               or exists (select 1 from outcome w where w.action_id = a.action_id))
        on conflict (action_id) do update
            set kind = excluded.kind, order_id = excluded.order_id, value_minor = excluded.value_minor,
                currency = excluded.currency, at = excluded.at
            where (outcome.kind, outcome.order_id, outcome.value_minor, outcome.currency)
                  is distinct from (excluded.kind, excluded.order_id, excluded.value_minor, excluded.currency)
        returning outcome_id, kind
    loop
        perform audit('settled', 'outcome', settled.outcome_id, settled.kind);
        changed := changed + 1;
    end loop;
    update action a set outcome_open = false, updated_at = moment
    where a.action_id = any(actions) and a.outcome_open
      and exists (select 1 from outcome w where w.action_id = a.action_id);
    return changed;
end
$$;
