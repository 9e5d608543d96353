-- name: claim
select *
from claim_jobs($1, $2, $3, $4, $5);

-- name: outputs
select step, output
from job
where flow_id = $1 and account_id = $2 and step = any($3::text[]);

-- name: bind
update job
set upload_id = upload.id, dataset_id = dataset.id, total = upload.size_bytes
from upload, dataset
where job.id = $1 and job.epoch = $2 and job.state = 'running'
  and upload.id = $3 and upload.account_id = job.account_id
  and dataset.id = $4 and dataset.account_id = job.account_id
returning dataset.table_name, dataset.columns;

-- name: wish
select control, remove_rows
from job
where id = $1 and epoch = $2 and state = 'running'
for update;  -- what is settled by it must not change before

-- name: advance
with moved as (
  update job
  set cursor = $3,
      done = $4,
      read = read + $5,
      through = read + $5,
      inserted = inserted + $6,
      updated = updated + $7,
      skipped = skipped + $8,
      rejected = rejected + $9,
      rate = $10,
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

-- name: rows_so_far
select read, rejected
from job
where id = $1 and epoch = $2 and state = 'running';

-- name: remark
update job
set output = jsonb_set(coalesce(output, '{}'), '{remarks}', coalesce(output -> 'remarks', '[]') || $2)
where id = $1;

-- name: report
with moved as (
  update job
  set cursor = coalesce($3, cursor),
      done = $4,
      total = coalesce($5, total),
      phase = coalesce($6, 'working'),
      message = $7,
      deaths = 0,
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'  -- the fence
  returning *
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.progressed', jsonb_build_object(
  'progress', jsonb_build_object(
    'done', done, 'total', total, 'unit', unit, 'phase', phase, 'message', message, 'rate', rate,
    'percent', case when total > 0 then round(100.0 * least(done, total) / total, 2) end
  )
)
from moved
returning (select control from moved);

-- name: reset
with moved as (
  update job
  set cursor = null, done = 0, rate = null, output = null,
      read = 0, through = 0, inserted = 0, updated = 0, skipped = 0, rejected = 0,
      control = case when control <> 'restart' then control end,  -- a cancel asked for meanwhile is still to be obeyed
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'
  returning *
),
forgotten as (
  delete from reject using moved where reject.job_id = moved.id
),
uncut as (
  delete from job_range using moved where job_range.job_id = moved.id
)
insert into event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.reset', jsonb_strip_nulls(jsonb_build_object('message', message))
from moved
returning seq;

-- name: settle
with settled as (
  select
    job_id, epoch, coalesce(state, 'completed') as state, coalesce(event, 'job.completed') as event,
    problem, output, cost, wait_s
  from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::integer[], $8::float8[])
    as settled (job_id, epoch, state, event, problem, output, cost, wait_s)  -- a shorter array ends in nulls
),
moved as (
  update job
  set state = settled.state,
      outcome = case
        when settled.state not in ('completed', 'failed', 'cancelled') then null
        when inserted + updated + skipped = 0 and (read > 0 or settled.state <> 'completed') then 'none'
        when settled.state = 'completed' and rejected = 0 then 'complete'
        else 'partial'
      end,
      done = case when settled.state = 'completed' then coalesce(total, done) else done end,
      phase = case settled.state when 'queued' then 'waiting' when 'retrying' then 'backing off' else settled.state end,
      problem = settled.problem,
      output = coalesce(
        settled.output,
        case when settled.state = 'completed' and job.upload_id is not null
          then coalesce(job.output, '{}') || jsonb_build_object(  -- behind its remarks
            'dataset', (select name from dataset where dataset.id = job.dataset_id),
            'upload_id', job.upload_id,
            'rows', inserted
          )
        end,
        job.output
      ),
      control = case when settled.state in ('queued', 'retrying') then control end,  -- a restart that is still to be made
      attempt = attempt + coalesce(settled.cost, 0),
      run_at = now() + make_interval(secs => coalesce(settled.wait_s, 0)),
      finished_at = case when settled.state in ('completed', 'failed', 'cancelled') then now() end,
      event_seq = event_seq + 1,
      event_tx = greatest(event_tx, (select this_event_tx()))  -- asked once
  from settled
  join lease on lease.job_id = settled.job_id and lease.epoch = settled.epoch
  where job.id = settled.job_id and job.epoch = settled.epoch and job.state = 'running'
  returning  -- not all columns: each is copied four times
    job.id, job.account_id, job.epoch, job.event_seq, job.event_tx, job.state, job.outcome, job.problem, job.attempt,
    job.run_at, job.read, job.inserted, job.updated, job.skipped, job.rejected, job.is_needed, job.flow_id,
    job.processor, job.queue, case when unit = 'bytes' then done else 0 end as bytes,
    job.started_at - coalesce(due_at, created_at) as waited,
    settled.event, lease.worker, lease.number, lease.started_at as claimed_at, lease.read_before
),
released as (
  delete from lease
  where job_id = any (array(select id from moved))  -- joined, each row of it would be copied once more
),
ended as (
  insert into attempt (job_id, account_id, epoch, number, worker, started_at, ended_at, result, read_before)
  select id, account_id, epoch, number, worker, claimed_at, now(), event, read_before
  from moved
),
counted as (  -- the other ends are counted by a trigger
  insert into job_end (
    account_id, sign, jobs, processor, state, outcome, finished_at, run_class,
    read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
  )
  select
    account_id, 1, count(*), processor, 'completed', outcome, now(), run_class(run_ms),
    sum(read), sum(inserted), sum(updated), sum(skipped), sum(rejected), sum(bytes), sum(run_ms), sum(wait_ms)
  from (
    select
      moved.*,
      (1000 * extract(epoch from now() - claimed_at + case when epoch = 1 then '0' else coalesce(
        (select sum(ended_at - started_at) from attempt where job_id = moved.id and ended_at is not null), '0'
      ) end))::bigint as run_ms,
      (1000 * greatest(0, extract(epoch from waited)))::bigint as wait_ms
    from moved
    where state = 'completed' and queue <> 'preview'
  ) as ended
  group by account_id, processor, outcome, run_class(run_ms)
),
told as (
  insert into event (job_id, account_id, seq, type, data, tx)
  select
    id, account_id, event_seq, event,
    case
      when (state, outcome, attempt, read) = ('completed', 'complete', 1, 0) then  -- the most frequent, ready-made
        '{
          "state": "completed", "outcome": "complete", "attempt": 1,
          "counts": {"read": 0, "inserted": 0, "updated": 0, "skipped": 0, "rejected": 0}
        }'
      else jsonb_strip_nulls(jsonb_build_object(
        'state', state, 'outcome', outcome, 'problem', problem, 'attempt', attempt,
        'run_at', case when state = 'retrying' then run_at end,
        'counts', jsonb_build_object(
          'read', read, 'inserted', inserted, 'updated', updated, 'skipped', skipped, 'rejected', rejected
        )
      ))
    end,
    event_tx
  from moved
)
select id, epoch, is_needed or flow_id is not null as is_awaited
from moved;

-- name: promote
with due as (
  select
    id,
    state = 'pending' and run_if = 'completed' and exists (
      select
      from dependency
      join job as needed on needed.id = dependency.needs_id
      where dependency.job_id = job.id and needed.state <> 'completed'
    ) as is_orphan
  from job
  where state in ('pending', 'retrying') and waits_for = 0 and run_at <= now()
  order by run_at
  limit 1000
  for update skip locked
),
moved as (
  update job
  set state = case when is_orphan then 'failed' else 'queued' end,
      phase = case when is_orphan then 'failed' else 'waiting' end,
      outcome = case when is_orphan then 'none' end,
      problem = case when is_orphan then $1::jsonb else problem end,
      finished_at = case when is_orphan then now() end,
      event_seq = event_seq + 1
  from due
  where job.id = due.id
  returning job.*
),
told as (
  insert into event (job_id, account_id, seq, type, data)
  select
    id, account_id, event_seq,
    case state when 'queued' then 'job.requeued' else 'job.failed' end,
    case state
      when 'queued' then jsonb_build_object('state', state, 'reason', 'due')
      else jsonb_build_object('state', state, 'outcome', outcome, 'problem', problem)
    end
  from moved
)
select id, account_id, is_needed
from moved;
