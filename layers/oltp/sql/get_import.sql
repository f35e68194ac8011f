select jsonb_build_object('id', import_id, 'status', status, 'bytes', bytes, 'lines', lines, 'done', done, 'failed', failed,
    'lines_per_second', round((done + failed) / greatest(extract(epoch from coalesce(finished_at, now()) - started_at), 0.001), 1),
    'position', position, 'created_at', created_at, 'started_at', started_at, 'finished_at', finished_at)
from crm.import_job where import_id = $1::uuid and ($2::text is null or actor = $2)
