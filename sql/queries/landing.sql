-- name: mine
select landed_in, is_writing, undone_by, undo_expired_at
from job
where id = $1 and epoch = $2 and state = 'running'
for update;

-- name: writers
select id, coalesce(options ->> 'mode', '') = 'replace' as replaces
from job
where dataset_id = $1 and id <> $2 and is_writing
order by id;

-- name: begin
update job
set is_writing = true, dataset_id = $3, landed_in = $4
where id = $1 and epoch = $2 and state = 'running'
returning id;

-- name: forget
with forgotten as (
  delete from note where job_id = $1
)
update job
set noted = 0, undone_by = null, undone_at = null, undo_expired_at = null
where id = $1;

-- name: note
with given as (
  select *
  from unnest($3::bigint[], $4::text[], $5::uuid[], $6::bigint[], $7::jsonb[])
    as given (row, code, other_job, other_row, keys)
),
stored as (
  insert into note (job_id, account_id, row, code, other_job, other_row, keys)
  select $1, $2, row, code, other_job, other_row, keys
  from given
  order by row
  limit greatest(0, $8 - (select noted from job where id = $1))
  on conflict do nothing
)
update job
set noted = noted + $9
where id = $1;

-- name: notes
select row, code, other_job, other_row, keys
from note
where job_id = $1 and row > $2
order by row
limit $3;

-- name: expired
update job
set undo_expired_at = now()
where id = $1;
