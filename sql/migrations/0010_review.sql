-- Rejects that can be corrected and sent back, the files' own headers for it, and exports that no spreadsheet runs.

alter table reject
  add column faults jsonb not null default '[]',  -- all that is wrong with the row, where it is more than one thing
  add column cells text[],  -- its fields in the order of the file's header, where it could be cut into fields
  add column cut boolean not null default false,  -- whether `raw` is only the beginning of the row
  add column closed_by uuid,  -- the correction that brought the row in
  add column closed_at timestamptz,
  add constraint closed_rejects_say_when check ((closed_by is null) = (closed_at is null)),
  add foreign key (closed_by, account_id) references job (id, account_id);
create index reject_closed_by on reject (closed_by) where closed_by is not null;

-- What a job's file calls its columns, in their order.
create table file_header (
  job_id uuid primary key,
  account_id uuid not null,
  names text[] not null,
  foreign key (job_id, account_id) references job (id, account_id) on delete cascade
);
alter table file_header enable row level security;
create policy own_account on file_header to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);
grant select on file_header to millrace_api;

alter table job
  add column corrects_id uuid,  -- the job whose rejects this one brings in, corrected
  add foreign key (corrects_id, account_id) references job (id, account_id);
create index job_corrects on job (corrects_id) where corrects_id is not null;

-- Whose content was imported already.
create index upload_content on upload (account_id, sha256);

-- A text as it may stand in a CSV that a spreadsheet opens: what it would run as a formula gets an apostrophe in front,
-- and so does what already has one there, so that taking one away gives the text back. Numbers stay.
create function spreadsheet_safe(given text) returns text
language sql immutable strict parallel safe
return case
  when given ~ '^''*[=+@\t\r-]' and given !~ '^[+-]([0-9]+([.,''][0-9]+)*|[.,][0-9]+)([eE][+-]?[0-9]+)?%?$' then '''' || given
  else given
end;
grant execute on function spreadsheet_safe(text) to millrace_api;
