-- name: resume
with freed as (  -- whoever had them under an earlier epoch has them no more
  update job_range
  set worker = null, expires_at = null, turn = turn + 1
  from job
  where job.id = $1 and job.epoch = $2 and job.state = 'running' and job_range.job_id = job.id and not is_done
  returning ordinal, first_row, job_range.read
),
shown as (  -- after an end with gaps: those who page from now on are to miss nothing
  update job
  set through = (select first_row - 1 + read from freed order by ordinal limit 1)
  where id = $1 and epoch = $2 and state = 'running' and exists (select from freed)
)
select exists (select from job_range where job_id = $1);

-- name: begin
insert into job_range (job_id, account_id, ordinal, first_row, cursor, done, is_open)
select id, account_id, 0, read + 1, cursor, done, true
from (
  select *
  from job
  where id = $1 and epoch = $2 and state = 'running'
  for update  -- a chunk that is being committed holds the job: it is in, or never will be
) as held
returning ordinal;

-- name: uncut
select ordinal, turn, first_row, cursor, done, stop, read
from job_range
where job_id = $1 and is_open;

-- name: cut
with cut as (
  update job_range
  set stop = $4, is_open = false
  from (select id from job where id = $1 and epoch = $2 and state = 'running' for update) as held
  where job_id = held.id and ordinal = $3 and is_open
  returning job_id, account_id, ordinal
)
insert into job_range (job_id, account_id, ordinal, first_row, cursor, done, is_open)
select job_id, account_id, ordinal + 1, $5, $6, $4, true
from cut
returning ordinal;

-- name: close
update job_range
set is_open = false
from (select id from job where id = $1 and epoch = $2 and state = 'running' for update) as held
where job_id = held.id and is_open;

-- name: take
with free as (
  select job_id, ordinal
  from job_range
  where job_id = $1 and not is_done and not is_open and (worker is null or expires_at < now())
    and exists (select from job where id = $1 and epoch = $2 and state = 'running' and control is null)
    -- a helper lets go for a job that waits
    and ($5::text is null or not exists (select from job where state = 'queued' and queue = $5))
  order by ordinal
  limit 1
  for update of job_range skip locked
)
update job_range
set worker = $3, turn = turn + 1, expires_at = now() + make_interval(secs => $4)
from free
where job_range.job_id = free.job_id and job_range.ordinal = free.ordinal
returning job_range.ordinal, turn, first_row, cursor, done, stop, read;

-- name: left
select count(*) from job_range where job_id = $1 and not is_done;

-- name: extend_leases
with running as (
  select id, control
  from job
  where id = $1 and epoch = $2 and state = 'running'
),
extended as (
  update job_range
  set expires_at = now() + make_interval(secs => $5)
  from unnest($3::integer[], $4::integer[]) as held (ordinal, turn), running
  where job_range.job_id = running.id and job_range.ordinal = held.ordinal and job_range.turn = held.turn
    and worker is not null
)
select exists (select from running where control is null);

-- name: advance
with moved as (  -- the job before its range, the order in which everybody locks them
  update job
  set done = done + $6,
      read = read + $7,
      inserted = inserted + $8,
      updated = updated + $9,
      skipped = skipped + $10,
      rejected = rejected + $11,
      through = greatest(through, (
        select first_row - 1 + read + case when ordinal = $3 then $7 else 0 end
        from job_range
        where job_id = $1 and not is_done
        order by ordinal
        limit 1
      )),
      rate = round((  -- of all who read it: the rows since the attempt began
        (read + $7 - (select read_before from lease where job_id = $1 and epoch = $2))
        / greatest(0.001, extract(epoch from now() - (select started_at from lease where job_id = $1 and epoch = $2)))
      )::numeric, 1),
      phase = 'importing',
      deaths = 0,
      event_seq = event_seq + 1
  where id = $1 and epoch = $2 and state = 'running'  -- the fence: an older epoch moves nothing
  returning *
),
stepped as (
  update job_range
  set cursor = $5, done = job_range.done + $6, read = job_range.read + $7
  from moved
  where job_range.job_id = moved.id and ordinal = $3 and turn = $4 and not is_done  -- and so does an older turn
  returning ordinal
),
told as (
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
)
select control, exists (select from stepped) as is_ours
from moved;

-- name: finish
with held as (
  update job
  set through = greatest(through, (
    select first_row - 1 + read
    from job_range
    where job_id = $1 and not is_done and ordinal <> $3
    order by ordinal
    limit 1
  ))
  where id = $1 and epoch = $2 and state = 'running'
  returning id
)
update job_range
set is_done = true, worker = null, expires_at = null
from held
where job_id = held.id and ordinal = $3 and turn = $4
returning ordinal;

-- name: release
update job_range
set worker = null, expires_at = null, turn = turn + 1
where job_id = $1 and ordinal = $2 and turn = $3 and not is_done;

-- name: is_wanted
select is_shared from job where id = $1;

-- name: find
select
  job.id, job.account_id, job.epoch, job.attempt, job.max_attempts, job.processor,
  job.upload_id, job.dataset_id, job.input, job.options, job.cursor, job.read,
  job.control, job.first_wait_s, job.longest_wait_s, job.deadline_s, job.flow_id,
  job.queue, job.corrects_id,
  dataset.table_name, dataset.columns
from job_range
join job on job.id = job_range.job_id
join lease on lease.job_id = job.id and lease.epoch = job.epoch
join dataset on dataset.id = job.dataset_id
where not is_done and not is_open and (job_range.worker is null or job_range.expires_at < now())
  and job.state = 'running' and job.control is null
  and job.queue = $1 and job.processor = any($2::text[]) and lease.worker <> $3
  and not exists (
    select from unnest($4::uuid[], $5::integer[]) as avoided (id, epoch)
    where avoided.id = job.id and avoided.epoch = job.epoch
  )
  and not exists (select from job as waiting where waiting.state = 'queued' and waiting.queue = $1)
order by job.priority desc, job.id
limit 1;

-- name: ask
update job
set is_shared = true
where id = (
  select job.id
  from lease
  join job on job.id = lease.job_id and job.epoch = lease.epoch
  where job.queue = $1 and job.processor = any($2::text[]) and lease.worker <> $3
    and job.state = 'running' and job.control is null and not is_shared and total - done > $4
  order by job.priority desc, job.id
  limit 1
  for update of job skip locked
)
returning id;
