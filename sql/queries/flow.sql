-- name: add
insert into flow (id, account_id, name, metadata)
values ($1, $2, $3, $4);

-- name: get
select *
from flow
where id = $1;

-- name: list
select *
from flow
where ($1::uuid is null or id < $1)
  and ($2::text is null or state = $2)
order by id desc
limit $3;

-- name: events_after
select *
from read_flow_events($1, $2, $3, $4);
