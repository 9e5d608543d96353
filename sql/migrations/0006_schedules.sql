-- Recurring schedules, and the slots that have been taken.

create table schedule (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  name text not null check (length(name) between 1 and 100),
  cron text not null check (length(cron) <= 200),
  time_zone text not null check (length(time_zone) <= 64),
  job jsonb not null,  -- what each of its jobs is made of, checked against the catalogue when it was written
  missed text not null check (missed in ('skip', 'run_once', 'run_all')),
  overlap text not null check (overlap in ('allow', 'skip')),
  paused boolean not null default false,
  next_run_at timestamptz,  -- the next slot; null while paused, and when the cron expression names no further one
  last_run_at timestamptz,
  last_job_id uuid,
  last_problem jsonb,  -- why the latest slot brought no job; null if it did
  created_at timestamptz not null default now(),
  unique (account_id, name),
  unique (id, account_id),
  foreign key (last_job_id, account_id) references job (id, account_id) on delete set null (last_job_id),
  constraint paused_schedules_have_no_next_run check (not paused or next_run_at is null)
);
create index schedule_upload on schedule ((job ->> 'upload_id'));  -- its file does not expire
create index schedule_account on schedule (account_id, id desc);
create index schedule_due on schedule (next_run_at) where next_run_at is not null;
create index schedule_last_job on schedule (last_job_id) where last_job_id is not null;

-- Written in the transaction that writes the slot's job: no slot runs twice, whoever else looks at the schedule.
create table schedule_slot (
  schedule_id uuid not null,
  account_id uuid not null,
  slot timestamptz not null,
  primary key (schedule_id, slot),
  foreign key (schedule_id, account_id) references schedule (id, account_id) on delete cascade
);

alter table schedule enable row level security;
create policy own_account on schedule to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);
alter table schedule_slot enable row level security;  -- and nothing granted: only workers take slots

grant select, insert, update, delete on schedule to millrace_api;
