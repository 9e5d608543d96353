-- name: columns_of
select attname as name
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
order by attnum;

-- name: key_of
select attribute.attname as name
from pg_index
cross join lateral unnest(pg_index.indkey) with ordinality as part (number, place)
join pg_attribute as attribute on attribute.attrelid = pg_index.indrelid and attribute.attnum = part.number
where pg_index.indrelid = $1::text::regclass and pg_index.indexrelid = to_regclass($2)
order by part.place;

-- name: look
select
  job.id, job.state, job.dataset_id, job.read, job.inserted + job.updated as stored, job.landed_in,
  dataset.table_name, dataset.removed_at is not null as is_removed, job.undone_at, job.undone_by,
  coalesce(undoing.state not in ('completed', 'failed', 'cancelled'), false) as undo_is_live,
  job.undo_expired_at, job.corrects_id,
  (select id from job as live where live.corrects_id = job.id and live.finished_at is null limit 1) as corrected_by,
  (select name from kept_table where kept_table.job_id = job.id and kind = 'former') as former,
  array(
    select later.id
    from job as later
    where later.dataset_id = job.dataset_id
      and later.landed_in = job.landed_in
      and later.id <> job.id
      and later.inserted + later.updated > 0
      and later.undone_at is null
      and later.corrects_id is null  -- its rows are those of the job that it corrects
    order by later.id
  ) as later
from job
left join dataset on dataset.id = job.dataset_id
left join job as undoing on undoing.id = job.undone_by
where job.id = $1 and job.account_id = $2 and job.removed_at is null
for no key update of job;

-- name: undone_by
update job
set undone_by = $2
where id = $1;

-- name: undone
update job
set undone_at = now()
where id = $1;

-- name: dataset_of
select dataset_id
from job
where id = $1 and account_id = $2;

-- name: keep_cursor
update job
set cursor = $3, deaths = 0
where id = $1 and epoch = $2 and state = 'running'
returning id;

-- name: stale
select job.id, job.landed_in
from job
where job.updated > 0
  and job.undo_expired_at is null
  and job.finished_at < now() - make_interval(secs => $1)
order by job.finished_at
limit $2
for update of job skip locked;

-- name: expired
update job
set undo_expired_at = now()
where id = $1;
