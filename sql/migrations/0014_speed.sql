-- A claim in one round trip, and less work for each job: what belongs to a job is tied to it by the statement that
-- writes it, not by a look for each row.

-- Leases, attempts and events are written only by a statement that writes their job's row too, and so holds its lock
-- to the commit: the job cannot go meanwhile. What goes with it, goes here.
alter table lease drop constraint lease_job_id_account_id_fkey;
alter table attempt drop constraint attempt_job_id_account_id_fkey;
alter table event drop constraint event_job_id_account_id_fkey;
alter table job_end drop constraint job_end_account_id_fkey;  -- a job's; those of an account that is gone are not counted

create function forget_jobs() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
begin
  delete from lease using gone where lease.job_id = gone.id;
  delete from attempt using gone where attempt.job_id = gone.id;
  delete from event using gone where event.job_id = gone.id;
  return null;
end
$$;
revoke all on function forget_jobs from public;
create trigger job_gone
after delete on job
referencing old table as gone
for each statement
execute function forget_jobs();

-- The API may write events, and of its own account's jobs alone: one look for all that a statement writes.
create function check_event_jobs() returns trigger
language plpgsql set search_path = millrace, pg_temp
as $$
begin
  if exists (
    select
    from told
    left join lateral (
      select true as is_there
      from job
      where job.id = told.job_id and job.account_id = told.account_id
      limit 1  -- so that each is looked for by its key, and no plan reads all jobs
    ) as own on true
    where own.is_there is null
  ) then
    raise exception 'an event of a job that is not of its account' using errcode = 'foreign_key_violation';
  end if;
  return null;
end
$$;
create trigger event_of_job
after insert on event
referencing new table as told
for each statement
execute function check_event_jobs();

-- The ledger of ends, as before, for all jobs that a statement ends or takes back at once.
create function note_job_ends() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
begin
  insert into job_end (
    account_id, sign, processor, state, outcome, finished_at,
    read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
  )
  select
    account_id, sign, processor, state, outcome, finished_at,
    read, inserted, updated, skipped, rejected, case when unit = 'bytes' then done else 0 end,
    (
      select round(sum(extract(epoch from ended_at - started_at)) * 1000)
      from attempt
      where job_id = ended.id and ended_at is not null
    ),
    round(greatest(0, extract(epoch from started_at - coalesce(due_at, created_at))) * 1000)
      * case when started_at is not null then 1 end
  from (
    select now_so.*, 1 as sign
    from now_so
    join was_so using (id)
    where now_so.finished_at is not null and was_so.finished_at is null
    union all
    select was_so.*, -1
    from was_so
    join now_so using (id)
    where was_so.finished_at is not null and now_so.finished_at is null
  ) as ended;
  return null;
end
$$;
revoke all on function note_job_ends from public;
drop trigger job_end on job;
drop function note_job_end;
drop function add_job_end;
create trigger job_end
after update on job  -- after the statement, which ends the attempt as well
referencing old table as was_so new table as now_so
for each statement
execute function note_job_ends();

-- Take up to `most` jobs of a queue in one round trip: the lock, then a look that sees what was committed before it.
create function claim_jobs(in_queue text, by_worker text, lease_s float8, most integer, ageing_s float8)
returns table (
  id uuid, account_id uuid, epoch integer, attempt integer, max_attempts integer, processor text,
  upload_id uuid, dataset_id uuid, input jsonb, options jsonb, cursor jsonb, read bigint,
  control text, first_wait_s float8, longest_wait_s float8, deadline_s float8, flow_id uuid,
  queue text, corrects_id uuid, table_name text, columns jsonb
)
language plpgsql
as $$
#variable_conflict use_column
begin
  perform
  from job
  where state = 'queued' and queue = in_queue
  order by priority, account_id, processor, id  -- as the index has it, so that nothing else is read
  limit 1;
  if not found then
    return;  -- nobody waits in order to find nothing
  end if;
  perform pg_advisory_xact_lock(1296651340, 1);  -- one claim at a time, so that no limit is passed and turns are exact
  return query
  with recursive lane as (  -- what one account has waiting for one processor at one priority: its oldest job, by one probe
    (
      select priority, account_id, processor, id, run_at
      from job
      where state = 'queued' and queue = in_queue
      order by priority, account_id, processor, id
      limit 1
    )
    union all
    select oldest.*
    from lane
    cross join lateral (
      select priority, account_id, processor, id, run_at
      from job
      where state = 'queued' and queue = in_queue
        and (priority, account_id, processor) > (lane.priority, lane.account_id, lane.processor)
      order by priority, account_id, processor, id
      limit 1
    ) as oldest
  ),
  room as (  -- how many more jobs may run, where there is a limit; a null name is the whole queue's
    select null as processor, null::uuid as account_id,
      max_running - (select count(*) from lease where queue = in_queue) as free
    from running_limit
    where kind = 'queue' and name = in_queue
    union all
    select name, null, max_running - (select count(*) from lease where processor = name)
    from running_limit
    where kind = 'processor'
    union all
    select null, id, max_running - (select count(*) from lease where account_id = account.id)
    from account
    where max_running is not null
  ),
  open_lane as (
    select
      lane.*,
      account.weight,
      greatest(account.turn, coalesce((select turn from turn_clock where queue = in_queue), 0)) as turn,
      least(10, lane.priority + floor(extract(epoch from now() - lane.run_at) / ageing_s)) as urgency,
      of_account.free as account_free,
      of_processor.free as processor_free
    from lane
    join account on account.id = lane.account_id
    left join room as of_account on of_account.account_id = lane.account_id
    left join room as of_processor on of_processor.processor = lane.processor
    where coalesce(of_account.free, 1) > 0 and coalesce(of_processor.free, 1) > 0
    order by urgency desc, turn, lane.id
    limit most
  ),
  candidate as (
    select
      waiting.id, account_id, processor, weight, turn, urgency, account_free, processor_free,
      row_number() over (partition by account_id order by urgency desc, waiting.id) as nth
    from open_lane
    cross join lateral (
      select id
      from job
      where state = 'queued' and queue = in_queue
        and (priority, account_id, processor) >= (open_lane.priority, open_lane.account_id, open_lane.processor)
        and (priority, account_id, processor) <= (open_lane.priority, open_lane.account_id, open_lane.processor)
      order by priority, account_id, processor, id
      limit most
    ) as waiting
  ),
  in_turn as (
    select
      id, account_id, weight, urgency, processor_free, turn + (nth - 1)::float8 / weight as turn,
      row_number() over (partition by processor order by urgency desc, turn + (nth - 1)::float8 / weight, id) as nth
    from candidate
    where account_free is null or nth <= account_free
  ),
  picked as (
    select id, account_id, weight, turn
    from in_turn
    where processor_free is null or nth <= processor_free
    order by urgency desc, turn, id
    limit least(most, coalesce((select greatest(0, free) from room where processor is null and account_id is null), most))
  ),
  free as (
    select locked.id, picked.account_id, picked.weight, picked.turn
    from picked
    cross join lateral (
      select id
      from job
      where job.id = picked.id and state in ('queued', '')  -- so worded that no index but the key's is thought of
      for update skip locked
    ) as locked
  ),
  served as (
    update account
    set turn = mine.turn
    from (select account_id, max(turn + 1::float8 / weight) as turn from free group by account_id) as mine
    where account.id = mine.account_id
  ),
  ticked as (
    insert into turn_clock (queue, turn)
    select in_queue, max(turn)
    from free
    having count(*) > 0
    on conflict (queue) do update
    set turn = greatest(turn_clock.turn, excluded.turn)
  ),
  claimed as (
    update job
    set state = 'running',
        epoch = epoch + 1,
        event_seq = event_seq + 1,
        phase = 'starting',
        rate = null,
        started_at = coalesce(started_at, now())
    from free
    where job.id = free.id
    returning job.*, free.turn
  ),
  leased as (
    insert into lease (job_id, account_id, epoch, worker, expires_at, queue, processor)
    select id, account_id, epoch, by_worker, now() + make_interval(secs => lease_s), queue, processor
    from claimed
    on conflict (job_id) do update
    set epoch = excluded.epoch, worker = excluded.worker, expires_at = excluded.expires_at
  ),
  tried as (
    insert into attempt (job_id, account_id, epoch, number, worker, read_before)
    select id, account_id, epoch, attempt, by_worker, read
    from claimed
  ),
  told as (
    insert into event (job_id, account_id, seq, type, data)
    select id, account_id, event_seq, 'job.started', jsonb_build_object('attempt', attempt, 'epoch', epoch)
    from claimed
  )
  select
    claimed.id, claimed.account_id, claimed.epoch, claimed.attempt, claimed.max_attempts, claimed.processor,
    claimed.upload_id, claimed.dataset_id, claimed.input, claimed.options, claimed.cursor, claimed.read,
    claimed.control, claimed.first_wait_s, claimed.longest_wait_s, claimed.deadline_s, claimed.flow_id,
    claimed.queue, claimed.corrects_id, dataset.table_name, dataset.columns
  from claimed
  left join dataset on dataset.id = claimed.dataset_id
  order by claimed.turn, claimed.id;
end
$$;
revoke all on function claim_jobs from public;
