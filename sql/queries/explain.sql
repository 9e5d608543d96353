-- name: circumstances
select
  now() as now,
  job.run_at,
  job.remove_rows,
  lease.worker,
  lease.expires_at > now() as is_held,
  lease.started_at as claimed_at,
  case when job.state = 'paused' then (
    select at
    from event
    where event.job_id = job.id and type = 'job.paused'
    order by seq desc
    limit 1
  ) end as paused_at,
  case when job.state = 'queued' then queue_position(job.id) end as position,
  case when job.state = 'queued' then queue_busy(job.queue) end as busy,
  (select format('%s %s: %s', kind, name, max_running) from full_limits(job.id) limit 1) as full_limit,
  case when job.state in ('pending', 'failed') then array(
    select jsonb_build_object('id', needed.id, 'state', needed.state, 'step', needed.step)
    from dependency
    join job as needed on needed.id = dependency.needs_id
    where dependency.job_id = job.id
      and case job.state when 'pending' then needed.finished_at is null else needed.state <> 'completed' end
    order by needed.id
    limit $2
  ) end as obstacles
from job
left join lease on lease.job_id = job.id and lease.epoch = job.epoch
where job.id = $1;
