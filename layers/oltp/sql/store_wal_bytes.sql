select sum(size)::bigint from pg_ls_waldir()
