-- As 0032 has it, with less work for each job: it begins at the oldest that waits, and the limits are looked up apart, and
-- only where there are any (they were a tenth of the plan).
-- And a lease is inserted as what it is, a new one: a job that waits has none (`rescue` sees to that, too).
delete from lease
where not exists (
  select
  from job
  where job.id = lease.job_id and job.epoch = lease.epoch and job.state = 'running'
);

create index if not exists account_limited on account (id) where max_running is not null;  -- another 0036 made it before

create or replace function claim_jobs(in_queue text, by_worker text, lease_s float8, most integer, ageing_s float8)
returns table (
  id uuid, account_id uuid, epoch integer, attempt integer, max_attempts integer, processor text,
  upload_id uuid, dataset_id uuid, input jsonb, options jsonb, cursor jsonb, read bigint,
  control text, first_wait_s float8, longest_wait_s float8, deadline_s float8, flow_id uuid,
  queue text, corrects_id uuid, table_name text, columns jsonb
)
language plpgsql
as $$
#variable_conflict use_column
declare
  room_of_account jsonb;  -- how many more jobs may run, by id, where there is a limit
  room_of_processor jsonb;  -- by name
  room_of_queue bigint;
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
  if exists (select from running_limit) or exists (select from account where max_running is not null) then
    select jsonb_object_agg(id, max_running - (select count(*) from lease where account_id = account.id))
    into room_of_account
    from account
    where max_running is not null;
    select jsonb_object_agg(name, max_running - (select count(*) from lease where processor = name))
    into room_of_processor
    from running_limit
    where kind = 'processor';
    select max_running - (select count(*) from lease where queue = in_queue)
    into room_of_queue
    from running_limit
    where kind = 'queue' and name = in_queue;
  end if;
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
  open_lane as (
    select
      lane.*,
      account.weight,
      greatest(account.turn, coalesce((select turn from turn_clock where queue = in_queue), 0)) as turn,
      least(10, lane.priority + floor(greatest(0, extract(epoch from now() - lane.run_at)) / ageing_s)) as urgency,
      (room_of_account -> lane.account_id::text)::bigint as account_free,
      (room_of_processor -> lane.processor)::bigint as processor_free
    from lane
    join account on account.id = lane.account_id
    where coalesce((room_of_account -> lane.account_id::text)::bigint, 1) > 0
      and coalesce((room_of_processor -> lane.processor)::bigint, 1) > 0
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
        -- from its oldest on: before it may lie hundreds that were claimed just now
        and (priority, account_id, processor, id) >= (open_lane.priority, open_lane.account_id, open_lane.processor, open_lane.id)
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
    limit greatest(0, least(most, room_of_queue))
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
        event_tx = greatest(event_tx, (select this_event_tx())),  -- asked once
        phase = 'starting',
        rate = null,
        started_at = coalesce(started_at, now())
    from free
    where job.id = free.id
    returning  -- not all columns: each is copied four times
      job.id, job.account_id, job.epoch, job.attempt, job.max_attempts, job.processor, job.upload_id, job.dataset_id,
      job.input, job.options, job.cursor, job.read, job.control, job.first_wait_s, job.longest_wait_s, job.deadline_s,
      job.flow_id, job.queue, job.corrects_id, job.event_seq, job.event_tx, free.turn
  ),
  leased as (
    insert into lease (job_id, account_id, epoch, worker, expires_at, queue, processor, number, read_before)
    select id, account_id, epoch, by_worker, now() + make_interval(secs => lease_s), queue, processor, attempt, read
    from claimed
  ),
  told as (
    insert into event (job_id, account_id, seq, type, data, tx)
    select
      id, account_id, event_seq, 'job.started',
      case
        when (attempt, epoch) = (1, 1) then '{"attempt": 1, "epoch": 1}'  -- the most frequent, ready-made
        else jsonb_build_object('attempt', attempt, 'epoch', epoch)
      end,
      event_tx
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
