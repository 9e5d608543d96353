-- name: ensure
with added as (
  insert into dataset (id, account_id, name, table_name)
  values ($1, $2, $3, $4)
  on conflict (account_id, name) where removed_at is null do nothing
  returning id
)
select id from added
union all
select id from dataset where account_id = $2 and name = $3 and removed_at is null
limit 1;

-- name: get
select *
from dataset
where name = $1 and removed_at is null;

-- name: of_account
select *
from dataset
where account_id = $1 and name = $2 and removed_at is null;

-- name: list
select *
from dataset
where ($1::text is null or name > $1) and removed_at is null
order by name
limit $2;

-- name: lock_to_begin
select *
from dataset
where id = $1 and removed_at is null
for no key update;  -- chunks that are on their way hold for key share, one behind the other: it would wait for a gap

-- name: lock
select *
from dataset
where id = $1 and removed_at is null
for update;  -- two jobs may bring the first chunk of one dataset at the same time

-- name: hold
select
from dataset
where id = $1
for key share;  -- as a job that names it does

-- name: shape
update dataset
set columns = $2, shaped_by = $3
where id = $1;

-- name: give_keys
update dataset
set keys = $2
where id = $1;

-- name: show_table
update dataset
set table_name = $2, columns = $3, keys = $4
where id = $1;

-- name: filled_by
select job.id, job.through as read  -- behind a gap that is still to be filled, nothing is shown
from job
join dataset on dataset.id = job.dataset_id
where job.dataset_id = $1
  and job.inserted + job.updated > 0
  and coalesce(job.landed_in, dataset.table_name) = dataset.table_name  -- a replace fills another one, until it is shown
  and job.undone_at is null
  and job.corrects_id is null  -- its rows are those of the job that it corrects
  and ($2::uuid is null or job.id >= $2)
order by job.id;

-- name: inserted
select dataset.id, sum(job.inserted)::bigint as rows
from dataset
join job on job.dataset_id = dataset.id
where dataset.id = any($1::uuid[])
  and coalesce(job.landed_in, dataset.table_name) = dataset.table_name
  and job.undone_at is null
  and job.corrects_id is null
group by dataset.id;

-- name: table_of
select table_name
from dataset
where id = $1 and removed_at is null;

-- name: unindexed
select table_name
from dataset
where removed_at is null
  and to_regclass(format('datasets.%I', table_name)) is not null
  and to_regclass(format('datasets.%I', table_name || '_row')) is null
  and (
    pg_relation_size(to_regclass(format('datasets.%I', table_name))) > $1
    or not exists (select from job where dataset_id = dataset.id and is_writing)
  );

-- name: landing_place
select table_name, keys
from dataset
where id = $1
for key share;  -- until the rows are in, nobody shows another table, or gives this one a key

-- name: merging_place
select table_name, keys
from dataset
where id = $1
for no key update;  -- one chunk at a time

-- name: keep_table
insert into kept_table (name, account_id, dataset_id, kind, job_id, columns, keys)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: kept_tables_of
select name, dataset_id, columns, keys
from kept_table
where job_id = $1 and kind = any($2::text[]);

-- name: let_go_of_table
delete from kept_table
where name = $1
returning name;

-- name: to_drop
select kept_table.name, case kept_table.kind when 'former' then kept_table.job_id end as replaced_by
from kept_table
left join job on job.id = kept_table.job_id
where kept_table.kind = 'dropped'
  or (kept_table.kind = 'loading' and job.state = 'cancelled')
  or (kept_table.kind = 'loading' and job.finished_at < now() - make_interval(secs => $1))
  or (kept_table.kind = 'former' and kept_table.since < now() - make_interval(secs => $2))
order by kept_table.since
limit 1
offset $3
for update of kept_table skip locked;

-- name: live_jobs
select id
from job
where dataset_id = any($1::uuid[]) and finished_at is null
order by id
limit 5;

-- name: rename
update dataset
set name = $2
where id = $1;

-- name: remove
update dataset
set removed_at = now()
where id = $1;

-- name: drop_all_later
update kept_table
set kind = 'dropped', since = now()
where dataset_id = $1;
