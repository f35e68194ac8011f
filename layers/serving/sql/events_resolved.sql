-- Events with the person that each belongs to today: merges and un-merges move traces, never events.
select
    coalesce(i.person, e.person) as person_now,
    e.*
from events e
left join identities i on i.trace = e.trace
