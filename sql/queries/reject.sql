-- name: list
select
  row, line, "column", code, message, suggestion, raw, cut, closed_by, closed_at,
  case when $5 then faults else '[]' end as faults,
  cells
from reject
where job_id = $1 and row > $2
  and case $4 when 'open' then closed_by is null when 'closed' then closed_by is not null else true end
order by row
limit $3;

-- name: tell_header
insert into file_header (job_id, account_id, names)
values ($1, $2, $3)
on conflict (job_id) do nothing;

-- name: header
select coalesce(
  (select names from file_header where job_id = $1),
  (
    select array_agg(part.column ->> 'name' order by part.no)
    from job
    join dataset on dataset.id = job.dataset_id
    cross join jsonb_array_elements(dataset.columns) with ordinality as part ("column", no)
    where job.id = $1
  )
);

-- name: correctable
select job.cursor, job.landed_in = dataset.table_name and job.undone_by is null as has_its_rows
from job
join dataset on dataset.id = job.dataset_id
where job.id = $1;

-- name: brought_in
select inserted, updated, skipped
from job
where id = $1;

-- name: cells_of
select row, cells
from reject
where job_id = $1 and row = any($2::bigint[]);

-- name: lock_open
select row, code, "column", cells, raw
from reject
where job_id = $1 and row = any($2::bigint[]) and closed_by is null
order by row
for update;

-- name: close
update reject
set closed_by = $2, closed_at = now()
where job_id = $1 and row = any($3::bigint[]) and closed_by is null;

-- name: reopen
update reject
set closed_by = null, closed_at = null
where closed_by = $1
returning row;

-- name: mend
update reject
set "column" = $3, code = $4, message = $5, suggestion = $6, raw = $7, faults = $8, cells = $9, cut = $10
where job_id = $1 and row = $2 and closed_by is null;

-- name: move_counts
update job
set rejected = rejected - ($2::bigint + $3::bigint + $4::bigint),
    inserted = inserted + $2,
    updated = updated + $3,
    skipped = skipped + $4,
    outcome = case
      when finished_at is null then null
      when inserted + updated + skipped + $2 + $3 + $4 = 0 then 'none'
      when state = 'completed' and rejected = $2 + $3 + $4 then 'complete'
      else 'partial'
    end
where id = $1;
