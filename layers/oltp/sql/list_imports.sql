select import_id, jsonb_build_object('id', import_id, 'status', status, 'bytes', bytes, 'lines', lines, 'done', done, 'failed', failed,
    'position', position, 'created_at', created_at, 'started_at', started_at, 'finished_at', finished_at)
from crm.import_job
where ($1::text is null or actor = $1) and import_id < $2::uuid
order by import_id desc limit $3::int
