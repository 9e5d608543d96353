-- name: mark_damaged
update upload
set damaged_at = now()
where id = $1 and damaged_at is null;

-- name: older
select id, seal
from upload
where seal is not null
  and substring(seal from 3 for 8) <> $1  -- the name of the master key
  and ($2::uuid is null or id > $2)
order by id
limit $3;

-- name: replace
update upload
set seal = $3
where id = $1 and seal = $2  -- it may have been destroyed since
returning id;
