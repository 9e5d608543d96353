-- name: after
select job_id, seq, type, at, data, tx, no
from event
where job_id = $1 and seq > $2
order by seq
limit $3;

-- name: after_in_account
(
  select job_id, seq, type, at, data, tx, no, tx < event_horizon() as is_settled
  from event
  where account_id = $1 and (tx, no) > ($2, $3)
  order by tx, no
  limit $4
)
union all
(
  select null, seq, type, at, data, tx, no, tx < event_horizon()
  from flow_event
  where account_id = $1 and (tx, no) > ($2, $3)
  order by tx, no
  limit $4
)
order by tx, no
limit $4;

-- name: newest_in_account
(
  select tx, no
  from event
  where account_id = $1 and tx < event_horizon()
  order by tx desc, no desc
  limit 1
)
union all
(
  select tx, no
  from flow_event
  where account_id = $1 and tx < event_horizon()
  order by tx desc, no desc
  limit 1
)
order by tx desc, no desc
limit 1;

-- name: horizon
select event_horizon();
