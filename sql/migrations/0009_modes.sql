-- How rows meet those a dataset has: its key, the tables that replace each other, notes on rows, and undo.

alter table dataset
  add column keys text[],  -- columns that name a row, from the first upsert on; a unique index holds them
  add column removed_at timestamptz;  -- deleted by the user; the row stays for the history of jobs
alter table dataset drop constraint dataset_account_id_name_key;
create unique index dataset_name on dataset (account_id, name) where removed_at is null;

alter table job
  add column landed_in text,  -- the table its rows went into; a replace has one of its own until it completes
  add column is_writing boolean not null default false,  -- it has begun to write into its dataset and has not ended
  add column noted bigint not null default 0,  -- rows with a note; the first of them are in table note
  add column undone_by uuid,  -- the job that takes its rows back
  add column undone_at timestamptz,
  add column undo_expired_at timestamptz,  -- since then the rows that it changed cannot be brought back
  add foreign key (undone_by, account_id) references job (id, account_id);
update job
set landed_in = dataset.table_name
from dataset
where dataset.id = job.dataset_id and job.inserted > 0;
create index job_writing on job (dataset_id) where is_writing;
create index job_undo on job (finished_at) where updated > 0 and undo_expired_at is null;

create function stop_writing() returns trigger
language plpgsql as $$
begin
  new.is_writing := false;
  return new;
end
$$;
create trigger job_stops_writing
before update of state on job
for each row
when (new.is_writing and new.finished_at is not null)
execute function stop_writing();

create table note (  -- what is worth knowing of a row that was not refused
  job_id uuid not null,
  account_id uuid not null,
  row bigint not null,
  code text not null check (code in ('duplicate_in_file', 'edited_since')),
  other_job uuid,
  other_row bigint,
  keys jsonb not null,  -- the row's key, by column
  primary key (job_id, row),
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
);

create table kept_table (  -- tables of schema datasets that are not, or no longer, what their dataset shows
  name text primary key,
  account_id uuid not null,
  dataset_id uuid not null,
  kind text not null check (kind in (
    'loading',  -- a replace fills it
    'former',  -- a replace has put its own in its place; kept for the undo
    'dropped'  -- goes next
  )),
  job_id uuid,  -- the replace
  columns jsonb not null,
  keys text[],
  since timestamptz not null default now(),
  foreign key (dataset_id, account_id) references dataset (id, account_id)
);
create index kept_table_job on kept_table (job_id);

alter table note enable row level security;
create policy own_account on note to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);
alter table kept_table enable row level security;
create policy own_account on kept_table to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);
grant select on note, kept_table to millrace_api;
grant insert, update on kept_table to millrace_api;
grant update on dataset to millrace_api;

create index job_undone_by on job (undone_by) where undone_by is not null;  -- without it each deleted job reads all others
