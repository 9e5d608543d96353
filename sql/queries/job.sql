-- name: submit
with created as (
  insert into job (
    id, account_id, processor, queue, state, priority, upload_id, dataset_id, options, metadata,
    unit, total, phase, event_seq, run_at, dedupe_key, input, max_attempts, first_wait_s, longest_wait_s, deadline_s,
    waits_for, run_if, flow_id, step, is_required, is_needed, corrects_id
  )
  select
    $1, $2, $3, $4, case when $13 > now() or $20 > 0 then 'pending' else 'queued' end, $5, $6, $7, $8, $9,
    $10, $11, 'waiting', 1, greatest($13, now()), $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24, $25, $26
  on conflict (account_id, dedupe_key) where dedupe_key is not null and state not in ('completed', 'failed', 'cancelled') do nothing
  returning id, account_id
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, 1, 'job.created', $12
from created
returning job_id;

-- name: submit_many
select *, null as dataset
from submit_jobs($1, $2, $3);

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

-- name: of_flow
select job.*, dataset.name as dataset
from job
left join dataset on dataset.id = job.dataset_id
where job.flow_id = $1
order by job.id;  -- ids are given out in the order of the steps

-- name: lock_flow
select id
from job
where flow_id = $1
order by id
for no key update;

-- name: list
select job.*, dataset.name as dataset
from job
left join dataset on dataset.id = job.dataset_id
where job.removed_at is null
  and ($1::uuid is null or job.id < $1)
  and ($2::text is null or job.state = $2)
  and ($3::text is null or job.processor = $3)
  and case when $5::text is null then job.queue <> 'preview' else job.queue = $5 end
order by job.id desc
limit $4;

-- name: unfinished
select job.*, dataset.name as dataset
from job
left join dataset on dataset.id = job.dataset_id
where job.account_id = $1
  and job.removed_at is null
  and job.finished_at is null
  and job.queue <> 'preview'
order by job.id desc
limit $2;

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
      run_at = case when $2 and inserted + updated > 0 then least(run_at, now()) else run_at end,  -- no back-off any more
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
  set state = case
        when state <> 'paused' then state
        when waits_for > 0 or lacks_needs(id) then 'pending'  -- promote queues it, or fails it
        else 'queued'
      end,
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

-- name: lock_needs
select needed.id
from job as needed
where needed.id in (select needs_id from dependency where job_id = $1)
order by needed.id
for share;  -- none of them ends while we count those that have not

-- name: retry
with moved as (
  update job
  set state = case when waits.number > 0 or lacks_needs(id) then 'pending' else 'queued' end,
      waits_for = waits.number,
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
  from (
    select count(*) as number
    from dependency
    join job as needed on needed.id = dependency.needs_id
    where dependency.job_id = $1 and needed.finished_at is null
  ) as waits
  where id = $1 and state in ('failed', 'cancelled') and removed_at is null
  returning job.*
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
  and queue <> 'preview'
order by id
limit $3;

-- name: lock_content
select pg_advisory_xact_lock(1296651341, hashtext($1::text));  -- who imports one content twice waits for himself

-- name: same_import
select job.id
from upload
join job on job.upload_id = upload.id
join dataset on dataset.id = job.dataset_id
where upload.account_id = $1 and upload.sha256 = $2 and upload.id <> $3
  and job.processor = $4 and job.dataset_id = $5 and job.options = $6
  and job.state = 'completed' and job.corrects_id is null and job.removed_at is null
  and job.landed_in = dataset.table_name and job.undone_by is null  -- its rows are there
order by job.id desc
limit 1;
