-- Who goes next: weighted turns, ageing, limits; jobs without a file; jobs that wait for others, and flows of them.

alter table account
add column weight smallint not null default 1 check (weight between 1 and 100),
add column max_running integer check (max_running >= 0),  -- jobs of it that run at a time; null is no limit
add column turn double precision not null default 0;  -- its virtual time: each job claimed adds 1 / weight

create table turn_clock (  -- the virtual time of a queue: who comes back after a rest starts here, not in the past
  queue text primary key,
  turn double precision not null
);

create table running_limit (
  kind text not null check (kind in ('queue', 'processor')),
  name text not null,
  max_running integer not null check (max_running >= 0),
  primary key (kind, name)
);

-- A lease is a running job: what limits count.
alter table lease
add column queue text not null default '',
add column processor text not null default '';

alter table job
add column input jsonb not null default '{}',  -- for processors that read no file
add column output jsonb,
add column first_wait_s double precision not null default 2 check (first_wait_s >= 0),
add column longest_wait_s double precision not null default 600 check (longest_wait_s >= 0),
add column deadline_s double precision check (deadline_s > 0),  -- without progress; null is the setting's
add column waits_for integer not null default 0 check (waits_for >= 0),  -- jobs that have yet to end before this one
add column is_needed boolean not null default false,  -- some job waits, or waited, for this one
add column run_if text not null default 'completed' check (run_if in ('completed', 'ended')),
add column flow_id uuid,
add column step text,
add column is_required boolean not null default true;

drop index job_queued;
create index job_lanes on job (queue, priority, account_id, processor, id) where state = 'queued';
drop index job_waiting;
create index job_due on job (run_at) where state in ('pending', 'retrying') and waits_for = 0;
drop index job_upload;
create index job_upload on job (upload_id) where upload_id is not null;
drop index job_dataset;
create index job_dataset on job (dataset_id) where dataset_id is not null;
create index job_flow on job (flow_id) where flow_id is not null;

insert into job_transition (from_state, to_state)
values ('failed', 'pending'), ('cancelled', 'pending'), ('paused', 'pending');  -- while what it needs has not ended

-- The two moves of nearly every job are allowed without a look into the table; a trigger called costs more than its row.
drop trigger job_transition on job;
create trigger job_transition
before update of state on job
for each row
when (
  old.state is distinct from new.state
  and not (old.state = 'queued' and new.state = 'running')
  and not (old.state = 'running' and new.state = 'completed')
)
execute function check_job_transition();

create table flow (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  name text not null,
  state text not null default 'running' check (state in ('running', 'completed', 'failed')),
  metadata jsonb not null default '{}',
  event_seq integer not null default 0,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  unique (id, account_id),
  check ((state = 'running') = (finished_at is null))
);
create index flow_account on flow (account_id, id desc);
alter table job add foreign key (flow_id, account_id) references flow (id, account_id);

create table flow_event (
  flow_id uuid not null,
  account_id uuid not null,
  seq integer not null,
  type text not null,
  at timestamptz not null default clock_timestamp(),
  data jsonb not null,
  primary key (flow_id, seq),
  foreign key (flow_id, account_id) references flow (id, account_id) on delete cascade
);

create table dependency (
  job_id uuid not null,
  needs_id uuid not null,
  account_id uuid not null,
  primary key (job_id, needs_id),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade,
  foreign key (needs_id, account_id) references job (id, account_id) on delete cascade
);
create index dependency_needs on dependency (needs_id);

-- Whoever waits for a job hears of its end in the transaction that ends it, and of its retry in that one.
create function count_dependents() returns trigger
language plpgsql set search_path = millrace, pg_temp as $$
begin
  if new.finished_at is not null then
    update job
    set waits_for = waits_for - 1
    where id in (
      select job.id
      from dependency
      join job on job.id = dependency.job_id
      where dependency.needs_id = new.id and job.waits_for > 0
      order by job.id
      for no key update of job  -- everybody locks jobs in this order
    );
  else
    update job
    set waits_for = waits_for + 1
    where id in (
      select job.id
      from dependency
      join job on job.id = dependency.job_id
      where dependency.needs_id = new.id and job.state in ('pending', 'paused')
      order by job.id
      for no key update of job
    );
  end if;
  return null;
end
$$;
create trigger job_ended
after update of state on job
for each row
when (new.is_needed and (new.finished_at is null) is distinct from (old.finished_at is null))
execute function count_dependents();

-- Whether a job may not run as things are: it wants others completed, and one of them is not.
create function lacks_needs(waiting_id uuid) returns boolean
language sql stable set search_path = millrace, pg_temp as $$
  select exists (
    select
    from job
    join dependency on dependency.job_id = job.id
    join job as needed on needed.id = dependency.needs_id
    where job.id = waiting_id and job.run_if = 'completed' and needed.state <> 'completed'
  )
$$;

-- A flow is completed when every required step is, failed while one has failed or was cancelled.
create function judge_flow() returns trigger
language plpgsql set search_path = millrace, pg_temp as $$
declare
  whole flow;
  verdict text;
begin
  select * into whole from flow where id = new.flow_id for no key update;  -- the last two steps may end together
  select case
    when bool_or(state in ('failed', 'cancelled')) then 'failed'
    when bool_and(state = 'completed') then 'completed'
    else 'running'
  end
  into verdict
  from job
  where flow_id = new.flow_id and is_required;
  verdict := coalesce(verdict, 'running');
  if verdict <> whole.state then
    update flow
    set state = verdict, event_seq = event_seq + 1, finished_at = case when verdict <> 'running' then now() end
    where id = whole.id;
    insert into flow_event (flow_id, account_id, seq, type, data)
    values (
      whole.id, whole.account_id, whole.event_seq + 1,
      case verdict when 'running' then 'flow.resumed' else 'flow.' || verdict end,
      jsonb_build_object('flow_id', whole.id, 'state', verdict, 'name', whole.name)
    );
  end if;
  return null;
end
$$;
create constraint trigger job_moves_flow
after update of state on job
deferrable initially deferred  -- the flow is locked after all jobs, so that nobody who has it waits for a job
for each row
when (
  new.flow_id is not null and new.is_required
  and (new.finished_at is null) is distinct from (old.finished_at is null)
)
execute function judge_flow();

do $$
declare
  guarded text;
begin
  foreach guarded in array array['flow', 'flow_event', 'dependency'] loop
    execute format('alter table %I enable row level security', guarded);
    execute format(
      'create policy own_account on %I to millrace_api '
      'using (account_id = nullif(current_setting(''millrace.account'', true), '''')::uuid)',
      guarded
    );
  end loop;
end
$$;
alter table running_limit enable row level security;  -- and no policy: none of the API's business
alter table turn_clock enable row level security;
grant select on flow, flow_event, dependency to millrace_api;
grant insert on flow, flow_event, dependency to millrace_api;
grant update on flow to millrace_api;

-- As claim picks: the most urgent first; inside a priority accounts take turns by weight, each with its oldest. Ageing
-- and limits are left out, and what is queued meanwhile moves the line: this is where the job stands now.
create or replace function queue_position(waiting_id uuid) returns bigint
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
    select
      peers.*,
      account.weight,
      greatest(account.turn, coalesce((select turn from turn_clock join mine using (queue)), 0)) as turn
    from peers
    join account on account.id = peers.account_id
  ),
  own as (
    select account_id, older, turn + older::double precision / weight as turn
    from turns
    join mine using (account_id)
  ),
  ahead as (  -- by our turn, so many jobs of each account have had theirs; one of the same turn goes by age
    select
      turns.account_id,
      turns.waiting,
      greatest(ceil((own.turn - turns.turn) * turns.weight - 1e-6), 0)::bigint as served,
      abs(round((own.turn - turns.turn) * turns.weight) - (own.turn - turns.turn) * turns.weight) < 1e-6
        and own.turn > turns.turn - 1e-6 as ties
    from turns
    cross join own
    where turns.account_id <> own.account_id
  )
  select (
    1
    + (select count(*) from job join mine using (queue) where job.state = 'queued' and job.priority > mine.priority)
    + (select older from own)
    + coalesce(sum(least(ahead.waiting, ahead.served + case when ahead.ties and (
        select job.id
        from job
        join mine using (queue, priority)
        where job.state = 'queued' and job.account_id = ahead.account_id
        order by job.id
        offset ahead.served
        limit 1
      ) < (select id from mine) then 1 else 0 end)), 0)
  )::bigint
  from own
  left join ahead on true
$$;

alter table account drop column served_at;

-- The limits that a queued job of the caller has run into, the narrowest first.
create function full_limits(waiting_id uuid) returns table (kind text, name text, max_running integer)
language sql stable security definer set search_path = millrace, pg_temp
as $$
  with mine as (
    select job.queue, job.processor, job.account_id, account.name as account, account.max_running
    from job
    join account on account.id = job.account_id
    where job.id = waiting_id
      and job.state = 'queued'
      and job.account_id = nullif(current_setting('millrace.account', true), '')::uuid
  )
  select 'account', mine.account, mine.max_running
  from mine
  where (select count(*) from lease where lease.account_id = mine.account_id) >= mine.max_running
  union all
  select running_limit.kind, running_limit.name, running_limit.max_running
  from mine
  join running_limit on (running_limit.kind, running_limit.name) in (('processor', mine.processor), ('queue', mine.queue))
  where (
    select count(*)
    from lease
    where case running_limit.kind when 'queue' then lease.queue else lease.processor end = running_limit.name
  ) >= running_limit.max_running
$$;
revoke all on function full_limits from public;
grant execute on function full_limits to millrace_api;
