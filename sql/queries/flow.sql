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
select seq, type, at, data, tx, no
from flow_event
where flow_id = $1 and seq > $2
order by seq
limit $3;
