-- name: list
select epoch, number, worker, started_at, ended_at, result
from attempt
where job_id = $1 and epoch > $2
union all
select epoch, number, worker, started_at, null, null
from lease  -- the one that is under way
where job_id = $1 and epoch > $2
order by epoch
limit $3;
