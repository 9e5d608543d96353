-- Ranges: a large file is cut at record boundaries, and several connections, of several workers, fill in its parts.

alter table job
  add column through bigint not null default 0,  -- the rows numbered up to here are all in: who pages misses none
  add column is_shared boolean not null default false;  -- another worker has asked for a part of it
update job set through = read;

alter table attempt add column read_before bigint not null default 0;  -- rows that earlier attempts have read

-- The ledger of chunks that are committed out of order: each range is read in order, and its cursor says what is in. Its
-- ranges cover the input from where the first begins to the end. None are there while a job is read in one go.
create table job_range (
  job_id uuid not null,
  account_id uuid not null,
  ordinal integer not null,
  first_row bigint not null,
  cursor jsonb not null,  -- where to read on
  done bigint not null,  -- how far into the input the cursor stands
  stop bigint,  -- where the next range begins; null: at the end of the input
  read bigint not null default 0,
  is_open boolean not null default false,  -- the last one, while it is still to be cut: nobody reads it yet
  is_done boolean not null default false,
  turn integer not null default 0,  -- the fencing number within an epoch of the job, +1 each time it is taken
  worker text,  -- who reads it, until expires_at
  expires_at timestamptz,
  primary key (job_id, ordinal),
  constraint a_taken_range_is_leased check ((worker is null) = (expires_at is null)),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
) with (fillfactor = 50);
create index job_range_left on job_range (job_id, ordinal) where not is_done;

alter table job_range enable row level security;  -- and nothing granted: only workers read ranges

-- An ended job shows all the rows that it has, gaps or not. What it would go on with is kept unless it is completed.
create function show_all_rows() returns trigger
language plpgsql security definer set search_path = millrace, pg_temp
as $$
begin
  new.through := greatest(
    new.through,
    coalesce((select max(first_row - 1 + read) from job_range where job_id = new.id), new.read)
  );
  if new.state = 'completed' then
    delete from job_range where job_id = new.id;
  end if;
  return new;
end
$$;
revoke all on function show_all_rows from public;
create trigger job_shows_all_rows
before update of state on job
for each row
when (old.finished_at is null and new.finished_at is not null and new.dataset_id is not null)
execute function show_all_rows();
