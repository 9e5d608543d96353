-- name: circumstances
select
  now() as now,
  job.run_at,
  job.remove_rows,
  lease.worker,
  lease.expires_at > now() as is_held,
  attempt.started_at as claimed_at,
  case when job.state = 'paused' then (
    select at
    from event
    where event.job_id = job.id and type = 'job.paused'
    order by seq desc
    limit 1
  ) end as paused_at,
  case when job.state = 'queued' then queue_position(job.id) end as position,
  case when job.state = 'queued' then queue_busy(job.queue) end as busy,
  (select format('%s %s: %s', kind, name, max_running) from full_limits(job.id) limit 1) as full_limit
from job
left join lease on lease.job_id = job.id and lease.epoch = job.epoch
left join attempt on attempt.job_id = job.id and attempt.epoch = job.epoch
where job.id = $1;
