-- Where a job stands among those of every account, and how busy its queue is. Row-level security hides other accounts'
-- jobs from the API, so these questions are asked with the owner's rights, and only a number comes back.

-- As claim picks: the most urgent first; inside a priority accounts take turns, each with its oldest. What is claimed or
-- queued meanwhile moves the line, so this is where the job stands now.
create function queue_position(waiting_id uuid) returns bigint
language sql stable security definer set search_path = millrace, pg_temp
as $$
  with mine as (
    select id, queue, priority, account_id
    from job
    where id = waiting_id
      and state = 'queued'
      and account_id = nullif(current_setting('millrace.account', true), '')::uuid  -- of one's own jobs only
  ),
  peers as (  -- the accounts with jobs of that priority
    select job.account_id, count(*) as waiting, count(*) filter (where job.id < mine.id) as older
    from job
    join mine on job.queue = mine.queue and job.priority = mine.priority
    where job.state = 'queued'
    group by job.account_id
  ),
  turns as (
    select peers.*, row_number() over (order by account.served_at, oldest.id) as turn
    from peers
    join account on account.id = peers.account_id
    cross join mine
    cross join lateral (
      select id
      from job
      where state = 'queued' and queue = mine.queue and priority = mine.priority and account_id = peers.account_id
      order by id
      limit 1
    ) as oldest
  ),
  own as (
    select turn, older
    from turns
    join mine using (account_id)
  )
  select (
    1
    + (select count(*) from job join mine using (queue) where job.state = 'queued' and job.priority > mine.priority)
    -- By its turn each account was served once per older job of ours, and once more if it comes before us.
    + sum(case turns.turn when own.turn then own.older else least(waiting, own.older + (turns.turn < own.turn)::int) end)
  )::bigint
  from turns
  cross join own
$$;
revoke all on function queue_position from public;
grant execute on function queue_position to millrace_api;

create function queue_busy(named text) returns bigint
language sql stable security definer set search_path = millrace, pg_temp
as $$
  select count(*)
  from lease
  join job on job.id = lease.job_id and job.epoch = lease.epoch
  where job.queue = named and job.state = 'running' and lease.expires_at > now()  -- not those of dead workers
$$;
revoke all on function queue_busy from public;
grant execute on function queue_busy to millrace_api;
