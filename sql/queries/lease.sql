-- name: extend
update lease
set expires_at = now() + make_interval(secs => $3)
from unnest($1::uuid[], $2::integer[]) as held (job_id, epoch)
where lease.job_id = held.job_id and lease.epoch = held.epoch
returning lease.job_id, lease.epoch, (select control from job where job.id = lease.job_id) as control;

-- name: rescue
with stray as (  -- leases that no attempt has, as no statement leaves one: it would hold up the next claim of its job
  delete from lease
  where expires_at < now() and not exists (
    select
    from job
    where job.id = lease.job_id and job.epoch = lease.epoch and job.state = 'running'
  )
),
lost as (
  select job.id, job.epoch
  from lease
  join job on job.id = lease.job_id and job.epoch = lease.epoch
  where lease.expires_at < now()
  order by lease.expires_at
  limit 100
  for update of job skip locked  -- the job first, as claim and settle do: no deadlock
),
moved as (
  update job
  set state = case when deaths + 1 < $1 then 'queued' else 'failed' end,
      outcome = case when deaths + 1 < $1 then null when inserted + updated > 0 then 'partial' else 'none' end,
      finished_at = case when deaths + 1 < $1 then null else now() end,
      problem = case when deaths + 1 < $1 then null else $2::jsonb end,
      control = case when deaths + 1 < $1 then control end,
      deaths = deaths + 1,
      phase = case when deaths + 1 < $1 then 'waiting' else 'failed' end,
      event_seq = event_seq + 1
  from lost
  where job.id = lost.id and job.state = 'running'
  returning job.*
),
released as (
  delete from lease using lost where lease.job_id = lost.id and lease.epoch = lost.epoch
  returning lease.*
),
ended as (
  insert into attempt (job_id, account_id, epoch, number, worker, started_at, ended_at, result, read_before)
  select job_id, account_id, epoch, number, worker, started_at, now(), 'job.lost', read_before
  from released
),
told as (
  insert into event (job_id, account_id, seq, type, data)
  select id, account_id, event_seq, case state when 'queued' then 'job.requeued' else 'job.failed' end,
    jsonb_strip_nulls(jsonb_build_object(
      'state', state, 'outcome', outcome, 'problem', problem, 'reason', 'worker_lost', 'deaths', deaths
    ))
  from moved
)
select moved.id as job_id, moved.account_id, released.worker, released.expires_at
from moved
join released on released.job_id = moved.id;

-- name: end_transactions
select count(pg_terminate_backend(activity.pid))
from pg_stat_activity activity
where activity.datname = current_database() and activity.usename = session_user
  and exists (
    select from unnest($1::text[], $2::timestamptz[]) as lost (worker, expired_at)
    where activity.application_name = left(lost.worker, 63)  -- longer names are cut
      and activity.xact_start < lost.expired_at
  );
