select jsonb_build_object(
    'version', current_setting('server_version'),
    'major', current_setting('server_version_num')::int / 10000,
    'started_at', pg_postmaster_start_time(),
    'database', current_database(),
    'database_bytes', pg_database_size(current_database()),
    'frozen_xid_age', (select age(datfrozenxid) from pg_database where datname = current_database()),
    'frozen_xid_age_max', current_setting('autovacuum_freeze_max_age')::bigint,
    'wal_segment_bytes', pg_size_bytes(current_setting('wal_segment_size')),
    'connections', (
        select jsonb_build_object(
            'max', current_setting('max_connections')::int,
            'total', count(*),
            'active', count(*) filter (where state = 'active'),
            'idle_in_transaction', count(*) filter (where state like 'idle in transaction%'))
        from pg_stat_activity where backend_type = 'client backend'),
    -- Never the text of a query: it may hold values.
    'long_transactions', coalesce((
        select jsonb_agg(to_jsonb(t)) from (
            select pid, application_name as application, coalesce(state, 'unknown') as state, wait_event_type as waits_for,
                extract(epoch from clock_timestamp() - xact_start)::bigint as seconds
            from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
                and xact_start < clock_timestamp() - interval '5 seconds'
            order by xact_start limit 20) t), '[]'),
    'lock_waits', coalesce((
        select jsonb_agg(to_jsonb(t)) from (
            select l.pid, a.application_name as application, coalesce(l.relation::regclass::text, l.locktype) as waits_for, l.mode,
                coalesce(extract(epoch from clock_timestamp() - l.waitstart), 0)::bigint as seconds,
                pg_blocking_pids(l.pid) as blocked_by
            from pg_locks l join pg_stat_activity a on a.pid = l.pid
            where not l.granted and a.datname = current_database()
            order by l.waitstart limit 20) t), '[]'),
    'replication_slots', coalesce((
        select jsonb_agg(to_jsonb(t)) from (
            select slot_name as name, active, coalesce(wal_status, 'unknown') as wal_status,
                pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn)::bigint as retained_bytes,
                pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::bigint as unconfirmed_bytes,
                safe_wal_size as safe_bytes
            from pg_replication_slots where database = current_database() or database is null
            order by slot_name) t), '[]'),
    'tables', coalesce((
        select jsonb_agg(to_jsonb(t)) from (
            -- Measuring takes a lock, and would wait for whoever has locked the table for himself.
            select s.schemaname || '.' || s.relname as "table", case when not h.held then pg_total_relation_size(s.relid) end as bytes,
                case when not h.held then pg_indexes_size(s.relid) end as index_bytes, s.n_live_tup as rows, s.last_autovacuum,
                s.last_autoanalyze
            from pg_stat_user_tables s cross join lateral (
                select exists (select from pg_locks l where l.relation = s.relid and l.mode = 'AccessExclusiveLock') as held) h
            where s.schemaname in ('crm', 'storewide')
            order by 2 desc nulls last, 1 limit 50) t), '[]'),
    'invalid_indexes', coalesce((
        select jsonb_agg(i.indexrelid::regclass::text order by 1)
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
        where not i.indisvalid and c.relkind = 'i' and n.nspname in ('crm', 'storewide')), '[]'),
    'archive', (
        select jsonb_build_object('mode', current_setting('archive_mode'), 'archived', archived_count,
            'last_archived', last_archived_wal, 'last_archived_at', last_archived_time, 'failed', failed_count,
            'last_failed', last_failed_wal, 'last_failed_at', last_failed_time)
        from pg_stat_archiver))
