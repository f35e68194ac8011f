select jsonb_agg(to_jsonb(t)) from (
    select i.inhparent::regclass::text as "table", i.inhrelid::regclass::text as partition,
        coalesce(pg_get_expr(c.relpartbound, c.oid), '') as bounds, 
        -- Measuring takes a lock, and would wait for whoever has locked the table for himself.
        case when not exists (select from pg_locks l where l.relation = c.oid and l.mode = 'AccessExclusiveLock')
            then pg_total_relation_size(c.oid) end as bytes,
        coalesce(s.n_live_tup, 0) as rows
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class p on p.oid = i.inhparent
    left join pg_stat_user_tables s on s.relid = c.oid
    where n.nspname = 'crm' and c.relkind in ('r', 'p') and p.relkind = 'p'
    order by i.inhparent::regclass::text, c.relname) t
