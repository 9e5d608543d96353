-- name: ensure
with added as (
  insert into dataset (id, account_id, name, table_name)
  values ($1, $2, $3, $4)
  on conflict (account_id, name) do nothing
  returning id
)
select id from added
union all
select id from dataset where account_id = $2 and name = $3
limit 1;

-- name: get
select *
from dataset
where name = $1;

-- name: of_account
select *
from dataset
where account_id = $1 and name = $2;

-- name: list
select *
from dataset
where $1::text is null or name > $1
order by name
limit $2;

-- name: lock
select *
from dataset
where id = $1
for update;  -- two jobs may bring the first chunk of one dataset at the same time

-- name: shape
update dataset
set columns = $2
where id = $1;

-- name: filled_by
select id, read
from job
where dataset_id = $1 and inserted > 0 and corrects_id is null and ($2::uuid is null or id >= $2)
order by id;
