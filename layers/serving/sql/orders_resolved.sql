-- Orders with the person that each belongs to today: its member, else whoever its contact belongs to, else its device. As features
-- count them; a contact that is linked to a member later takes its guest orders along.
select
    coalesce(i.person, o.trace) as person_now,
    o.*
from (
    select
        case
            when member_id is not null then 'm:' || cast(member_id as varchar)
            when contact is not null then 'c:' || contact
            when anonymous_id is not null then 'a:' || anonymous_id
        end as trace,
        orders.*
    from orders
) o
left join identities i on i.trace = o.trace
