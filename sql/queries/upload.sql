-- name: add
insert into upload (id, account_id, name, size_bytes, sha256, media_type)
values ($1, $2, $3, $4, $5, $6)
returning *;

-- name: get
select *
from upload
where id = $1;

-- name: of_account
select *
from upload
where account_id = $1 and id = $2;

-- name: list
select *
from upload
where $1::uuid is null or id < $1
order by id desc
limit $2;

-- name: which_exist
select id
from upload
where id = any($1::uuid[]);
