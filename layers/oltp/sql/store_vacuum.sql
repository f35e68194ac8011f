select jsonb_agg(to_jsonb(t)) from (
    select s.schemaname || '.' || s.relname as "table", s.n_live_tup as live, s.n_dead_tup as dead,
        c.relpages::bigint * current_setting('block_size')::bigint as bytes,
        -- What the rows would take: header and line pointer, the columns' average widths, and the room that the fill factor leaves.
        greatest(0, c.relpages::bigint * current_setting('block_size')::bigint - ceil(greatest(c.reltuples, 0) * (28 + w.width)
            / (f.fill / 100.0) / (current_setting('block_size')::int - 24))::bigint * current_setting('block_size')::bigint)
            as bloat_bytes,
        age(c.relfrozenxid)::bigint as frozen_xid_age,
        coalesce(o.freeze_max, current_setting('autovacuum_freeze_max_age')::bigint) as frozen_xid_age_max,
        greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum, greatest(s.last_analyze, s.last_autoanalyze) as last_analyze,
        o.off as autovacuum_off
    from pg_stat_user_tables s join pg_class c on c.oid = s.relid
    cross join lateral (
        select coalesce(sum(p.avg_width * (1 - p.null_frac)), 0) as width
        from pg_stats p where p.schemaname = s.schemaname and p.tablename = s.relname and not p.inherited) w
    cross join lateral (
        select coalesce(max(option_value) filter (where option_name = 'fillfactor'), '100')::int as fill
        from pg_options_to_table(c.reloptions)) f
    cross join lateral (
        select max(option_value) filter (where option_name = 'autovacuum_freeze_max_age')::bigint as freeze_max,
            coalesce(bool_or(option_name = 'autovacuum_enabled' and not option_value::bool), false) as off
        from pg_options_to_table(c.reloptions)) o
    where s.schemaname in ('crm', 'storewide') and c.relkind = 'r'
    order by s.n_dead_tup desc, 1) t
