-- name: add
insert into upload_rule (id, account_id, type, processor, dataset, options, priority)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (account_id, type) do nothing
returning *;

-- name: list
select *
from upload_rule
order by id
limit $1;

-- name: remove
delete from upload_rule
where id = $1
returning id;

-- name: find
select *
from upload_rule
where type = any($1::text[])
order by array_position($1, type)  -- the suffix says more than the media type
limit 1;

-- name: number
select count(*)
from upload_rule;
