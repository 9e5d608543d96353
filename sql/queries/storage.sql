-- name: get
select id, is_marked
from storage;

-- name: add
insert into storage (id)
values ($1)
returning id, is_marked;

-- name: marked
update storage
set is_marked = true
where id = $1;
