-- Files that came inside an imported one, such as a deck's pictures: uploads of their own, which a dataset shows by name.

create table attachment (
  dataset_id uuid not null,
  name text not null,
  job_id uuid not null,  -- that brought it, and may be forgotten sooner; of several with one name the newest is shown
  account_id uuid not null,
  upload_id uuid not null,
  primary key (dataset_id, name, job_id),
  foreign key (dataset_id, account_id) references dataset (id, account_id) on delete cascade,
  foreign key (upload_id, account_id) references upload (id, account_id)
);
create index attachment_job on attachment (job_id);
create index attachment_upload on attachment (upload_id);
alter table attachment enable row level security;
create policy own_account on attachment to millrace_api
using (account_id = nullif(current_setting('millrace.account', true), '')::uuid);
grant select, delete on attachment to millrace_api;
