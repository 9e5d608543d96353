-- Uploads from their creation on: how far each has come, what is to become of it, quotas, and jobs that start by rule.

alter table upload
  drop constraint upload_size_bytes_check,
  alter column size_bytes drop not null,  -- null: its client has not told yet
  alter column sha256 drop not null,
  add column state text not null default 'complete' check (state in ('receiving', 'complete')),
  add column protocol text not null default 'raw' check (protocol in ('raw', 'multipart', 'tus', 'resumable', 'job', 'url')),
  add column received_bytes bigint not null default 0,  -- durable: what a client may build on after a cut
  add column writer integer not null default 0,  -- the latest request to write, +1 each; no other may record an offset
  add column is_open boolean not null default false,  -- a request writes, or has died over it: more may be on disk
  add column expires_at timestamptz,  -- when it is given up unless more comes
  add column metadata text,  -- Upload-Metadata, as tus wants it back
  add column concat text,  -- Upload-Concat likewise: 'partial', or 'final;' and the parts
  add column digests jsonb,  -- what it has to be by its client's word: {"sha-256": base64}
  add column wanted jsonb,  -- the job that starts once it is complete
  add column kind text,  -- what its first bytes say it is
  add column duplicate_of uuid,  -- an earlier upload of the same content
  add column problem jsonb,  -- why it was refused after it had come
  add column removed_at timestamptz,  -- deleted by the user: out of sight, the row stays for its jobs
  drop constraint upload_expired_reason_check,
  add constraint upload_expired_reason_check check (
    expired_reason in ('retention', 'lost', 'unfinished', 'deleted', 'joined', 'refused')
  ),
  add constraint upload_sizes check (
    received_bytes >= 0 and (size_bytes is null or (size_bytes >= 0 and received_bytes <= size_bytes))
  );
update upload
set received_bytes = size_bytes;
alter table upload add constraint complete_uploads_are_known check (
  state = 'receiving' or (size_bytes is not null and sha256 is not null)
);
create index upload_unfinished on upload (expires_at) where state = 'receiving' and expired_at is null;
create index upload_content on upload (account_id, sha256) where state = 'complete' and expired_at is null;
grant update on upload to millrace_api;

-- A job reads a file that is whole.
create function check_upload_complete() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
begin
  if exists (select from upload where id = new.upload_id and account_id = new.account_id and state = 'receiving') then
    raise exception 'upload % is not complete', new.upload_id using errcode = 'MR003';
  end if;
  return new;
end
$$;
revoke all on function check_upload_complete from public;
create trigger job_upload_complete
before insert on job
for each row
when (new.upload_id is not null and new.finished_at is null)
execute function check_upload_complete();

-- Who writes now, asked by every API process about the requests that it has in hand, of whatever account.
create function upload_writers(ids uuid[]) returns table (id uuid, writer integer)
language sql stable security definer set search_path = millrace, pg_temp
as $$
  select upload.id, upload.writer
  from upload
  where upload.id = any(ids) and state = 'receiving' and expired_at is null
$$;
revoke all on function upload_writers from public;
grant execute on function upload_writers to millrace_api;

-- The newest jobs that used an upload, and what has become of it through them.
create function upload_jobs(asked uuid) returns jsonb
language sql stable
as $$
  select coalesce(jsonb_agg(to_jsonb(used) order by used.id desc), '[]')
  from (
    select job.id, processor, dataset.name as dataset, state, outcome, job.created_at, finished_at
    from job
    left join dataset on dataset.id = job.dataset_id
    where upload_id = asked and removed_at is null
    order by job.id desc
    limit 20
  ) as used
$$;
create function upload_status(asked upload) returns text
language sql stable
as $$
  select case
    when asked.problem is not null then 'failed'
    when asked.state = 'receiving' and asked.expired_at is not null then 'abandoned'
    when asked.state = 'receiving' then 'receiving'
    when exists (select from job where upload_id = asked.id and finished_at is null) then 'processing'
    else coalesce(
      (
        select case state when 'completed' then 'completed' else 'failed' end
        from job
        where upload_id = asked.id and removed_at is null
        order by id desc
        limit 1
      ),
      'uploaded'
    )
  end
$$;

-- Quotas: what each account holds, counted where it changes, so that the count is right whatever dies.
alter table account
  add column max_bytes bigint check (max_bytes >= 0),  -- null: as in the settings
  add column max_open_uploads integer check (max_open_uploads >= 0),
  add column max_daily_uploads integer check (max_daily_uploads >= 0);

create table upload_usage (
  account_id uuid primary key references account on delete cascade,
  bytes bigint not null,  -- of files kept, and reserved for those on their way
  open integer not null,  -- on their way
  day date not null,  -- in UTC
  daily integer not null  -- created on that day
);

create function held_bytes(counted upload) returns bigint
language sql immutable
as $$
  select case when counted.expired_at is null then coalesce(counted.size_bytes, counted.received_bytes) else 0 end
$$;
create function is_on_its_way(counted upload) returns integer
language sql immutable
as $$
  select (counted.state = 'receiving' and counted.expired_at is null)::integer
$$;

create function count_upload() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
declare
  more_bytes bigint := 0;
  more_open integer := 0;
  today date := (now() at time zone 'utc')::date;
begin
  if tg_op <> 'DELETE' then
    more_bytes := held_bytes(new);
    more_open := is_on_its_way(new);
  end if;
  if tg_op <> 'INSERT' then
    more_bytes := more_bytes - held_bytes(old);
    more_open := more_open - is_on_its_way(old);
  end if;
  if tg_op = 'INSERT' then
    insert into upload_usage as usage (account_id, bytes, open, day, daily)
    values (new.account_id, more_bytes, more_open, today, 1)
    on conflict (account_id) do update set
      bytes = usage.bytes + more_bytes,
      open = usage.open + more_open,
      day = today,
      daily = case usage.day when today then usage.daily + 1 else 1 end;
  elsif more_bytes <> 0 or more_open <> 0 then
    update upload_usage
    set bytes = bytes + more_bytes,
        open = open + more_open,
        daily = case when tg_op = 'DELETE' and day = (old.created_at at time zone 'utc')::date then daily - 1 else daily end
    where account_id = old.account_id;
  end if;
  return null;
end
$$;
revoke all on function count_upload from public;
create trigger upload_counted
after insert or delete or update of state, size_bytes, received_bytes, expired_at on upload
for each row
execute function count_upload();

insert into upload_usage (account_id, bytes, open, day, daily)
select account_id, sum(held_bytes(upload)), 0, (now() at time zone 'utc')::date, 0
from upload
group by account_id;

create table upload_rule (
  id uuid primary key,
  account_id uuid not null references account on delete cascade,
  type text not null,  -- a suffix with its dot, or a media type
  processor text not null,
  dataset text,
  options jsonb not null default '{}',
  priority smallint not null default 5 check (priority between 1 and 10),
  created_at timestamptz not null default now(),
  unique (account_id, type)
);

do $$
declare
  guarded text;
begin
  foreach guarded in array array['upload_usage', 'upload_rule'] loop
    execute format('alter table %I enable row level security', guarded);
    execute format(
      'create policy own_account on %I to millrace_api '
      'using (account_id = nullif(current_setting(''millrace.account'', true), '''')::uuid)',
      guarded
    );
  end loop;
end
$$;
grant select on upload_usage to millrace_api;
grant select, insert, delete on upload_rule to millrace_api;
