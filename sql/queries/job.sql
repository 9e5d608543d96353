-- name: submit
with created as (
  insert into job (
    id, account_id, processor, queue, state, priority, upload_id, dataset_id, options, metadata,
    unit, total, phase, event_seq, run_at, dedupe_key
  )
  select
    $1, $2, $3, $4, case when $13 > now() then 'pending' else 'queued' end, $5, $6, $7, $8, $9,
    $10, $11, 'waiting', 1, coalesce($13, now()), $14
  on conflict (account_id, dedupe_key) where dedupe_key is not null and state not in ('completed', 'failed', 'cancelled') do nothing
  returning id, account_id
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, 1, 'job.created', $12
from created
returning job_id;

-- name: live
select id
from job
where account_id = $1 and dedupe_key = $2 and state not in ('completed', 'failed', 'cancelled');

-- name: remember
insert into idempotency (account_id, key, fingerprint, job_id)
values ($1, $2, $3, $4)
on conflict (account_id, key) do nothing  -- waits for a twin under way, then loses to it
returning job_id;

-- name: remembered
select fingerprint, job_id
from idempotency
where account_id = $1 and key = $2;

-- name: get
select job.*, dataset.name as dataset
from job
left join dataset on dataset.id = job.dataset_id
where job.id = $1 and job.removed_at is null;

-- name: list
select job.*, dataset.name as dataset
from job
left join dataset on dataset.id = job.dataset_id
where job.removed_at is null
  and ($1::uuid is null or job.id < $1)
  and ($2::text is null or job.state = $2)
  and ($3::text is null or job.processor = $3)
order by job.id desc
limit $4;

-- name: claim
with recursive top as (
  select priority
  from job
  where state = 'queued' and queue = $1
  order by priority desc
  limit 1
),
waiting (account_id) as (  -- each account with a job of that priority, by one index probe an account
  (
    select account_id
    from job
    where state = 'queued' and queue = $1 and priority = (select priority from top)
    order by account_id
    limit 1
  )
  union all
  select (
    select account_id
    from job
    where state = 'queued' and queue = $1 and priority = (select priority from top)
      and account_id > waiting.account_id
    order by account_id
    limit 1
  )
  from waiting
  where waiting.account_id is not null
),
next as (
  select oldest.id, oldest.account_id
  from waiting
  join account on account.id = waiting.account_id
  cross join lateral (
    select id, account_id
    from job
    where state = 'queued' and queue = $1 and priority = (select priority from top)
      and job.account_id = waiting.account_id
    order by id
    limit 1
    for update skip locked
  ) oldest
  order by account.served_at, oldest.id  -- the account that was served longest ago
  limit 1
),
served as (
  update account set served_at = clock_timestamp() from next where account.id = next.account_id
),
claimed as (
  update job
  set state = 'running',
      epoch = epoch + 1,
      event_seq = event_seq + 1,
      phase = 'starting',
      rate = null,
      started_at = coalesce(started_at, now())
  from next
  where job.id = next.id
  returning job.*
),
leased as (
  insert into lease (job_id, account_id, epoch, worker, expires_at)
  select id, account_id, epoch, $2, now() + make_interval(secs => $3)
  from claimed
  on conflict (job_id) do update
  set epoch = excluded.epoch, worker = excluded.worker, expires_at = excluded.expires_at
),
tried as (
  insert into attempt (job_id, account_id, epoch, number, worker)
  select id, account_id, epoch, attempt, $2
  from claimed
),
told as (
  insert into event (job_id, account_id, seq, type, data)
  select id, account_id, event_seq, 'job.started', jsonb_build_object('attempt', attempt, 'epoch', epoch)
  from claimed
)
select
  claimed.id, claimed.account_id, claimed.epoch, claimed.attempt, claimed.max_attempts, claimed.processor,
  claimed.upload_id, claimed.dataset_id, claimed.options, claimed.cursor, claimed.read,
  claimed.control,
  dataset.table_name, dataset.columns
from claimed
left join dataset on dataset.id = claimed.dataset_id;

-- name: advance
with moved as (
  update job
  set cursor = $3,
      done = $4,
      read = read + $5,
      inserted = inserted + $6,
      rejected = rejected + $7,
      rate = $8,
      phase = 'importing',
      deaths = 0,
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'  -- the fence: an older epoch moves nothing
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.progressed', jsonb_build_object(
  'progress', jsonb_build_object(
    'done', done, 'total', total, 'unit', unit, 'phase', phase, 'message', message, 'rate', rate,
    'percent', case when total > 0 then round(100.0 * least(done, total) / total, 2) else 100 end
  ),
  'counts', jsonb_build_object(
    'read', read, 'inserted', inserted, 'updated', updated, 'skipped', skipped, 'rejected', rejected
  )
)
from moved
returning (select control from moved);

-- name: reset
with moved as (
  update job
  set cursor = null, done = 0, rate = null,
      read = 0, inserted = 0, updated = 0, skipped = 0, rejected = 0,
      control = case when control <> 'restart' then control end,  -- a cancel asked for meanwhile is still to be obeyed
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'
  returning *
),
forgotten as (
  delete from reject using moved where reject.job_id = moved.id
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.reset', '{}'
from moved
returning seq;

-- name: wish
select control, remove_rows
from job
where id = $1 and epoch = $2 and state = 'running'
for update;  -- what is settled by it must not change before

-- name: settle
with moved as (
  update job
  set state = $3,
      outcome = case
        when $3 not in ('completed', 'failed', 'cancelled') then null
        when inserted + updated + skipped = 0 and (read > 0 or $3 <> 'completed') then 'none'
        when $3 = 'completed' and rejected = 0 then 'complete'
        else 'partial'
      end,
      done = case when $3 = 'completed' then coalesce(total, done) else done end,
      phase = case $3 when 'queued' then 'waiting' when 'retrying' then 'backing off' else $3 end,
      problem = $4,
      control = case when $3 in ('queued', 'retrying') then control end,  -- a restart that is still to be made
      attempt = attempt + $5,
      run_at = now() + make_interval(secs => $6),
      finished_at = case when $3 in ('completed', 'failed', 'cancelled') then now() end,
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'
  returning *
),
released as (
  delete from lease using moved where lease.job_id = moved.id and lease.epoch = $2
),
ended as (
  update attempt
  set ended_at = now(), result = $7
  from moved
  where attempt.job_id = moved.id and attempt.epoch = $2
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, $7, jsonb_strip_nulls(jsonb_build_object(
  'state', state, 'outcome', outcome, 'problem', problem, 'attempt', attempt,
  'run_at', case when state = 'retrying' then run_at end,
  'counts', jsonb_build_object(
    'read', read, 'inserted', inserted, 'updated', updated, 'skipped', skipped, 'rejected', rejected
  )
))
from moved
returning seq;

-- name: extend_leases
update lease
set expires_at = now() + make_interval(secs => $3)
from unnest($1::uuid[], $2::integer[]) as held (job_id, epoch)
where lease.job_id = held.job_id and lease.epoch = held.epoch
returning lease.job_id, lease.epoch, (select control from job where job.id = lease.job_id) as control;

-- name: rescue
with lost as (
  select job.id, job.epoch
  from lease
  join job on job.id = lease.job_id and job.epoch = lease.epoch
  where lease.expires_at < now()
  order by lease.expires_at
  limit 100
  for update of job skip locked  -- the job first, as claim and settle do: no deadlock
),
released as (
  delete from lease using lost where lease.job_id = lost.id and lease.epoch = lost.epoch
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
ended as (
  update attempt
  set ended_at = now(), result = 'job.lost'
  from moved
  where attempt.job_id = moved.id and attempt.epoch = moved.epoch
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, case state when 'queued' then 'job.requeued' else 'job.failed' end,
  jsonb_strip_nulls(jsonb_build_object(
    'state', state, 'outcome', outcome, 'problem', problem, 'reason', 'worker_lost', 'deaths', deaths
  ))
from moved
returning job_id;

-- name: promote
with due as (
  select id
  from job
  where state in ('pending', 'retrying') and run_at <= now()
  order by run_at
  limit 1000
  for update skip locked
),
moved as (
  update job
  set state = 'queued', phase = 'waiting', event_seq = event_seq + 1
  from due
  where job.id = due.id
  returning job.*
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.requeued', jsonb_build_object('state', state, 'reason', 'due')
from moved
returning job_id;

-- name: cancel
with moved as (
  update job
  set state = case
        when state = 'running' then state
        when $2 and inserted + updated > 0 then 'queued'  -- a worker takes the rows back first
        else 'cancelled'
      end,
      control = case when state = 'running' or ($2 and inserted + updated > 0) then 'cancel' end,
      outcome = case
        when state = 'running' or ($2 and inserted + updated > 0) then null
        when inserted + updated + skipped > 0 then 'partial'
        else 'none'
      end,
      finished_at = case when state = 'running' or ($2 and inserted + updated > 0) then null else now() end,
      phase = case when state = 'running' or ($2 and inserted + updated > 0) then 'cancelling' else 'cancelled' end,
      remove_rows = $2,
      cancel_requested_at = now(),
      event_seq = event_seq + 1
  where id = $1 and state in ('pending', 'queued', 'running', 'retrying', 'paused')
    and control is distinct from 'cancel' and removed_at is null
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, case state when 'cancelled' then 'job.cancelled' else 'job.cancel_requested' end,
  jsonb_strip_nulls(jsonb_build_object('state', state, 'outcome', outcome, 'rows', case when $2 then 'remove' else 'keep' end))
from moved
returning seq;

-- name: pause
with moved as (
  update job
  set state = case state when 'running' then state else 'paused' end,
      control = case state when 'running' then 'pause' end,
      phase = case state when 'running' then 'pausing' else 'paused' end,
      event_seq = event_seq + 1
  where id = $1 and state in ('pending', 'queued', 'running', 'retrying') and control is null and removed_at is null
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, case state when 'paused' then 'job.paused' else 'job.pause_requested' end,
  jsonb_build_object('state', state)
from moved
returning seq;

-- name: resume
with moved as (
  update job
  set state = case state when 'paused' then 'queued' else state end,
      control = null,
      phase = case state when 'running' then 'importing' when 'retrying' then 'backing off' else 'waiting' end,
      run_at = case state when 'paused' then now() else run_at end,
      event_seq = event_seq + 1
  where id = $1 and (state = 'paused' or control = 'pause') and removed_at is null
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.resumed', jsonb_build_object('state', state)
from moved
returning seq;

-- name: retry
with moved as (
  update job
  set state = 'queued',
      outcome = null,
      problem = null,
      finished_at = null,
      cancel_requested_at = null,
      remove_rows = false,
      control = case when $2 then 'restart' end,
      attempt = 1,
      deaths = 0,
      phase = 'waiting',
      run_at = now(),
      event_seq = event_seq + 1
  where id = $1 and state in ('failed', 'cancelled') and removed_at is null
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.requeued', jsonb_build_object(
  'state', state, 'reason', 'retried', 'from', case when $2 then 'start' else 'checkpoint' end
)
from moved
returning seq;

-- name: prioritize
with moved as (
  update job
  set priority = $2, event_seq = event_seq + 1
  where id = $1 and state not in ('completed', 'failed', 'cancelled') and removed_at is null
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.prioritized', jsonb_build_object('priority', priority)
from moved
returning seq;

-- name: remove
update job
set removed_at = now()
where id = $1 and state in ('completed', 'failed', 'cancelled') and removed_at is null
returning id;

-- name: matching
select id
from job
where removed_at is null
  and ($1::text is null or state = $1)
  and ($2::text is null or processor = $2)
order by id
limit $3;
