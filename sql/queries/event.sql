-- name: after
select *
from read_job_events($1, $2, $3, $4);

-- name: after_in_account
select *
from read_account_events($1, $2, $3, $4);

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
