-- What is known of the workers, why jobs failed, and numbers of all accounts together for those who run the service.

create table worker (
  name text primary key,
  host text not null,
  pid integer not null,
  version text not null,
  queues jsonb not null,  -- {queue: {slots, used}}
  cpu double precision not null,  -- cores it and its children took, on average since the time before
  rss_bytes bigint not null,  -- of it and its children
  load double precision[] not null,  -- of its host, over 1, 5 and 15 minutes
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
) with (fillfactor = 50);
alter table worker enable row level security;
create policy everybodys on worker for select to millrace_api using (true);  -- who waits may know for whom
grant select on worker to millrace_api;

create index job_failed on job (account_id, finished_at) where state = 'failed';

-- Without a name of anybody: jobs that have not ended, by queue and state.
create function live_jobs()
returns table (queue text, state text, jobs bigint, oldest_s double precision)
language sql stable security definer set search_path = millrace, pg_temp
as $$
  select queue, state, count(*), greatest(0, extract(epoch from now() - min(run_at)))::double precision
  from job
  where finished_at is null
  group by queue, state
$$;

create function ended_jobs()
returns table (
  processor text, state text, run_class smallint, jobs bigint,
  inserted bigint, updated bigint, skipped bigint, rejected bigint, bytes bigint, run_ms bigint
)
language sql stable security definer set search_path = millrace, pg_temp
as $$
  select
    processor, state, run_class, sum(jobs)::bigint,
    sum(inserted)::bigint, sum(updated)::bigint, sum(skipped)::bigint, sum(rejected)::bigint,
    sum(bytes)::bigint, sum(run_ms)::bigint
  from job_stat
  group by processor, state, run_class
  order by processor, state, run_class
$$;
revoke all on function live_jobs, ended_jobs from public;
grant execute on function live_jobs, ended_jobs to millrace_api;
