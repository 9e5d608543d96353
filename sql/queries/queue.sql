-- name: waiting
with recursive waiting (queue) as (  -- each queue with a job in it, by one index probe a queue
  (
    select queue
    from job
    where state = 'queued'
    order by queue
    limit 1
  )
  union all
  select (
    select queue
    from job
    where state = 'queued' and job.queue > waiting.queue
    order by queue
    limit 1
  )
  from waiting
  where waiting.queue is not null
)
select waiting.queue, first.id as job_id
from waiting
cross join lateral (
  select id
  from job
  where state = 'queued' and job.queue = waiting.queue
  order by priority desc
  limit 1
) as first;
