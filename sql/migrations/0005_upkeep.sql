-- Upkeep: uploads that lose their file, the folder that the files are in, and statistics of jobs that have ended.

alter table upload
  add column expired_at timestamptz,  -- the file is gone since then; the row stays as history
  add column expired_reason text check (expired_reason in ('retention', 'lost')),
  add constraint expired_uploads_say_why check ((expired_at is null) = (expired_reason is null));
create index upload_kept on upload (id) include (created_at) where expired_at is null;

-- What the folder of uploads carries as its mark, so that a missing mount is not taken for lost files.
create table storage (
  id uuid primary key,
  is_marked boolean not null default false,  -- the mark is known to be on disk
  created_at timestamptz not null default now(),
  is_only boolean not null default true unique check (is_only)
);
alter table storage enable row level security;  -- and no policy: none of the API's business

alter table job add column due_at timestamptz;  -- run_at as submitted, which retries move; null in jobs older than this column

-- A job that is to run needs the file of its upload. The lock makes the one that expires it pass it by, or us wait for
-- that one's commit; and the check sees the row as committed then.
create function check_upload_kept() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
declare
  gone_since timestamptz;
begin
  select expired_at into gone_since
  from upload
  where id = new.upload_id and account_id = new.account_id
  for key share;
  if gone_since is not null then
    raise exception 'the file of upload % is gone', new.upload_id using errcode = 'MR001';
  end if;
  return new;
end
$$;
revoke all on function check_upload_kept from public;
create trigger job_upload_kept
before insert on job
for each row
when (new.upload_id is not null and new.finished_at is null)
execute function check_upload_kept();
create trigger job_upload_still_kept
before update of state on job
for each row
when (new.upload_id is not null and old.finished_at is not null and new.finished_at is null)
execute function check_upload_kept();

create function keep_due_at() returns trigger
language plpgsql
as $$
begin
  new.due_at := new.run_at;
  return new;
end
$$;
create trigger job_due_at
before insert on job
for each row
execute function keep_due_at();

-- Ends that are not in job_stat yet: +1 when a job ends, -1 with the same values when a retry takes the end back. An
-- entry comes with the commit that ends the job and goes with the one that counts it, so each counts exactly once.
create table job_end (
  id bigint primary key generated always as identity,
  account_id uuid not null references account on delete cascade,
  sign smallint not null check (sign in (1, -1)),
  processor text not null,
  state text not null,
  outcome text not null,
  finished_at timestamptz not null,
  read bigint not null,
  inserted bigint not null,
  updated bigint not null,
  skipped bigint not null,
  rejected bigint not null,
  bytes bigint not null,
  run_ms bigint,  -- of all attempts; null if there was none
  wait_ms bigint  -- from its time to its first attempt; null if there was none
);

create table job_stat (
  account_id uuid not null references account on delete cascade,
  hour timestamptz not null,
  processor text not null,
  state text not null,
  outcome text not null,
  run_class smallint not null,  -- n: ran more than 0.1 s * 2^(n-1) and up to 0.1 s * 2^n; 0: up to 0.1 s; -1: never ran
  jobs bigint not null,
  read bigint not null,
  inserted bigint not null,
  updated bigint not null,
  skipped bigint not null,
  rejected bigint not null,
  bytes bigint not null,
  run_ms bigint not null,
  wait_ms bigint not null,
  primary key (account_id, hour, processor, state, outcome, run_class)
);

do $$
declare
  guarded text;
begin
  foreach guarded in array array['job_end', 'job_stat'] loop
    execute format('alter table %I enable row level security', guarded);
    execute format(
      'create policy own_account on %I to millrace_api '
      'using (account_id = nullif(current_setting(''millrace.account'', true), '''')::uuid)',
      guarded
    );
  end loop;
end
$$;
grant select on job_stat to millrace_api;

create function add_job_end(ended job, sign integer) returns void
language plpgsql set search_path = millrace, pg_temp  -- so that its plan is kept
as $$
begin
  insert into job_end (
    account_id, sign, processor, state, outcome, finished_at,
    read, inserted, updated, skipped, rejected, bytes, run_ms, wait_ms
  )
  values (
    ended.account_id, sign, ended.processor, ended.state, ended.outcome, ended.finished_at,
    ended.read, ended.inserted, ended.updated, ended.skipped, ended.rejected,
    case when ended.unit = 'bytes' then ended.done else 0 end,
    (
      select round(sum(extract(epoch from ended_at - started_at)) * 1000)
      from attempt
      where job_id = ended.id and ended_at is not null
    ),
    round(greatest(0, extract(epoch from ended.started_at - coalesce(ended.due_at, ended.created_at))) * 1000)
      * case when ended.started_at is not null then 1 end
  );
end
$$;
revoke all on function add_job_end from public;

create function note_job_end() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
begin
  if new.finished_at is not null then
    perform add_job_end(new, 1);
  else
    perform add_job_end(old, -1);
  end if;
  return null;
end
$$;
revoke all on function note_job_end from public;
create trigger job_end
after update of state on job  -- after the statement, which ends the attempt as well
for each row
when ((old.finished_at is null) <> (new.finished_at is null))
execute function note_job_end();

select add_job_end(job, 1) from job where finished_at is not null;
