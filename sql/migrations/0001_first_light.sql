-- The whole of the first release: accounts, uploads, datasets, jobs, leases, attempts, events, rejects.
-- Runs as millrace_worker, which so owns every table: COPY is refused under row-level security, and owners are exempt.

create table account (
  id uuid primary key,
  name text not null unique check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  served_at timestamptz not null default '-infinity',  -- when a job of it was last claimed: accounts take turns
  created_at timestamptz not null default now()
);

create table api_key (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  name text not null,
  hash bytea not null unique,  -- SHA-256 of the key; the key itself is shown once and never stored
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table upload (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  name text not null,  -- a label given by the user, never a path
  size_bytes bigint not null check (size_bytes > 0),
  sha256 bytea not null,
  media_type text,
  created_at timestamptz not null default now(),
  unique (id, account_id)
);
create index upload_account on upload (account_id, id desc);

create table dataset (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  name text not null,
  table_name text not null unique,  -- in schema datasets; exists once columns is set
  columns jsonb,  -- [{name, type, scale?}] in order; null until the first chunk gives the dataset its shape
  created_at timestamptz not null default now(),
  unique (account_id, name),
  unique (id, account_id)
);

create table job (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  processor text not null,
  queue text not null,
  state text not null check (
    state in ('pending', 'queued', 'running', 'retrying', 'paused', 'completed', 'failed', 'cancelled')
  ),
  outcome text check (outcome in ('complete', 'partial', 'none')),
  priority smallint not null default 5 check (priority between 1 and 10),
  upload_id uuid,
  dataset_id uuid,
  options jsonb not null default '{}',
  metadata jsonb not null default '{}',
  dedupe_key text check (length(dedupe_key) between 1 and 200),
  attempt integer not null default 1,  -- the try that runs or will run next; deploys and lost leases cost none
  max_attempts integer not null default 3 check (max_attempts >= 1),
  deaths smallint not null default 0,  -- workers lost in a row without a chunk committed in between
  epoch integer not null default 0,  -- the fencing number, +1 at each claim
  event_seq integer not null default 0,  -- the number of the job's latest event
  cursor jsonb,  -- the processor's resume position, as of the last committed chunk
  unit text not null,
  done bigint not null default 0,
  total bigint,
  rate double precision,  -- rows per second since the attempt began
  phase text not null,
  message text,
  read bigint not null default 0,
  inserted bigint not null default 0,
  updated bigint not null default 0,
  skipped bigint not null default 0,
  rejected bigint not null default 0,
  problem jsonb,
  control text check (control in ('pause', 'cancel', 'restart')),  -- what a user wants of it; a worker obeys
  cancel_requested_at timestamptz,
  remove_rows boolean not null default false,  -- the cancel that was asked for takes back the rows as well
  removed_at timestamptz,  -- deleted by the user; the row stays for the lineage of datasets
  run_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (id, account_id),
  foreign key (upload_id, account_id) references upload (id, account_id),
  foreign key (dataset_id, account_id) references dataset (id, account_id),
  constraint final_states_have_an_end check (
    (state in ('completed', 'failed', 'cancelled')) = (finished_at is not null)
  ),
  constraint final_states_have_an_outcome check ((finished_at is null) = (outcome is null)),
  constraint failures_say_why check (state <> 'failed' or problem is not null),
  constraint every_row_is_accounted_for check (read = inserted + updated + skipped + rejected)
) with (fillfactor = 70);  -- room for in-page updates: a running job's row changes with every chunk

create index job_account on job (account_id, id desc);
create index job_queued on job (queue, priority, account_id, id) where state = 'queued';
create index job_waiting on job (run_at) where state in ('pending', 'retrying');
create unique index job_dedupe on job (account_id, dedupe_key)
where dedupe_key is not null and state not in ('completed', 'failed', 'cancelled');  -- joins a live job, never blocks a retry after failure
create index job_upload on job (upload_id);
create index job_dataset on job (dataset_id);

create table job_transition (
  from_state text not null,
  to_state text not null,
  primary key (from_state, to_state)
);
-- The same table as domain/job.py; a test holds them equal.
insert into job_transition (from_state, to_state)
values
  ('pending', 'queued'), ('pending', 'cancelled'), ('pending', 'failed'), ('pending', 'paused'),
  ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'paused'),
  ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'paused'),
  ('running', 'retrying'), ('running', 'queued'),
  ('retrying', 'queued'), ('retrying', 'cancelled'), ('retrying', 'paused'),
  ('paused', 'queued'), ('paused', 'cancelled'),
  ('failed', 'queued'), ('cancelled', 'queued');

create function check_job_transition() returns trigger
language plpgsql as $$
begin
  if not exists (select from job_transition where from_state = old.state and to_state = new.state) then
    raise exception 'a job cannot go from % to %', old.state, new.state using errcode = 'check_violation';
  end if;
  return new;
end
$$;
create trigger job_transition
before update of state on job
for each row
when (old.state is distinct from new.state)
execute function check_job_transition();

create table idempotency (
  account_id uuid not null,
  key text not null check (length(key) between 1 and 200),
  fingerprint bytea not null,  -- SHA-256 of the request: the same key for another request is a mistake
  job_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (account_id, key),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade deferrable initially deferred
);

create table lease (
  job_id uuid primary key,
  account_id uuid not null,
  epoch integer not null,
  worker text not null,
  expires_at timestamptz not null,
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
) with (fillfactor = 50);

create table attempt (
  job_id uuid not null,
  account_id uuid not null,
  epoch integer not null,
  number integer not null,
  worker text not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  result text,  -- completed, failed, retrying, lost, released …: the word of the event that ended it
  primary key (job_id, epoch),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
);

create table event (
  job_id uuid not null,
  account_id uuid not null,
  seq integer not null,
  type text not null,
  at timestamptz not null default clock_timestamp(),
  data jsonb not null,
  primary key (job_id, seq),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
);

create table reject (
  job_id uuid not null,
  account_id uuid not null,
  row bigint not null,
  line bigint not null,
  "column" text,
  code text not null,
  message text not null,
  suggestion text not null,
  raw text not null,
  primary key (job_id, row),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
);

-- A key is looked up before its account is known, so this one question is asked with the owner's rights.
create function authenticate(key_hash bytea) returns table (account_id uuid, key_id uuid)
language sql stable security definer set search_path = millrace
as $$
  select api_key.account_id, api_key.id from api_key where hash = key_hash and revoked_at is null
$$;
revoke all on function authenticate from public;
grant execute on function authenticate to millrace_api;

-- The API sees and writes one account at a time: the one its transaction names.
do $$
declare
  guarded text;
begin
  foreach guarded in array array['api_key', 'upload', 'dataset', 'job', 'lease', 'attempt', 'event', 'reject', 'idempotency'] loop
    execute format('alter table %I enable row level security', guarded);
    execute format(
      'create policy own_account on %I to millrace_api '
      'using (account_id = nullif(current_setting(''millrace.account'', true), '''')::uuid)',
      guarded
    );
  end loop;
end
$$;
alter table account enable row level security;
create policy own_account on account to millrace_api
using (id = nullif(current_setting('millrace.account', true), '')::uuid);

grant select on account, upload, dataset, job, lease, attempt, event, reject, idempotency, job_transition
to millrace_api;
grant insert on upload, dataset, job, event, idempotency to millrace_api;
grant update on job to millrace_api;
grant delete on upload to millrace_api;
