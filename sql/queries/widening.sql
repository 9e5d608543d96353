-- name: standing
-- Types may widen where none but this job has, or is about to have, rows of them.
select
  widened,
  jsonb_array_length(widened) < $2
    and (dataset.columns is null or dataset.shaped_by = job.id)
    and not exists (
      select
      from job as other
      where other.dataset_id = job.dataset_id and other.id <> job.id
        and (other.inserted + other.updated > 0 or other.is_writing)
    ) as may_widen
from job
join dataset on dataset.id = job.dataset_id
where job.id = $1;

-- name: misfits
select "column" as name, count(*) as number
from reject
where job_id = $1 and code = any($2::text[])
group by "column";

-- name: widen
update job
set widened = widened || $3::jsonb, message = $4, landed_in = null
where id = $1 and epoch = $2 and state = 'running'  -- the fence
returning id;

-- name: unshape
update dataset
set table_name = $2, columns = null, keys = null, shaped_by = null
where id = $1;
