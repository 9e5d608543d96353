-- name: need
with needed as (
  select id
  from job
  where id = any($1::uuid[]) and removed_at is null
  order by id
  for no key update  -- none of them ends while we count those that have not
)
update job
set is_needed = true
from needed
where job.id = needed.id
returning job.id, job.state, job.finished_at is null as is_live;

-- name: add
insert into dependency (job_id, needs_id, account_id)
select job_id, needs_id, $3
from unnest($1::uuid[], $2::uuid[]) as needed (job_id, needs_id);

-- name: of_flow
select waiting.step as step, needed.step as needs
from job as waiting
join dependency on dependency.job_id = waiting.id
join job as needed on needed.id = dependency.needs_id
where waiting.flow_id = $1
order by waiting.id, needed.id;
